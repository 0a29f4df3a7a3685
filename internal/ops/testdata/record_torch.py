"""Records values and gradients of PyTorch operators for torch_test.go.

    python record_torch.py > torch.json

Every case holds the inputs (float64, or int64 for labels), the output, and the gradients of
sum(output * w), with w[i] = 1 + (i % 7) / 8, for every float input; null where there is none.
"""
import json
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)


def randn(*shape):
    return torch.randn(*shape).float().double()  # exact in float32 too


def tensor(t):
    return {"shape": list(t.shape), "data": t.detach().reshape(-1).tolist()}


cases = []


def case(name, f, *inputs, fixed=()):
    inputs = [x.clone().requires_grad_(x.is_floating_point() and i not in fixed) for i, x in enumerate(inputs)]
    y = f(*inputs)
    w = 1 + (torch.arange(y.numel()) % 7).double() / 8
    (y.reshape(-1) * w).sum().backward()
    cases.append({
        "name": name,
        "inputs": [dict(tensor(x), int=not x.is_floating_point()) for x in inputs],
        "output": tensor(y),
        "grads": [tensor(x.grad) if x.grad is not None else None for x in inputs],
    })


def ties():
    return torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])


case("Relu", F.relu, ties())
case("LeakyRelu", lambda x: F.leaky_relu(x, 0.1), ties())
case("Clip", lambda x: torch.clamp(x, -1.25, 1.5), ties())
case("ClipOnBounds", lambda x: torch.clamp(x, -1.0, 2.0), ties())
case("Abs", torch.abs, ties())
case("Sigmoid", torch.sigmoid, 4 * randn(9))
case("Tanh", torch.tanh, 2 * randn(9))
case("Softplus", F.softplus, 3 * randn(9))
case("Erf", torch.erf, randn(9))
case("Mul", torch.mul, randn(2, 3, 2, 2), randn(3, 1, 1))
case("Div", torch.div, randn(3, 1), randn(2, 1, 4).abs() + 0.5)
case("Softmax", lambda x: F.softmax(x, 1), 3 * randn(2, 4, 3))
case("LogSoftmax", lambda x: F.log_softmax(x, -1), 3 * randn(3, 5))
case("ReduceMean", lambda x: x.mean((0, 2)), randn(3, 2, 4))
case("PadReflect", lambda x: F.pad(x, (2, 1, 1, 2), "reflect"), randn(1, 2, 3, 4))
case("PadEdge", lambda x: F.pad(x, (2, 1, 3, 2), "replicate"), randn(1, 2, 3, 4))
case("PadConstant", lambda x: F.pad(x, (2, -1, -1, 2), "constant", 1.5), randn(1, 2, 3, 4))
case("BatchNormTrain", lambda x, s, b: F.batch_norm(x, None, None, s, b, True, 0, 1e-5), 3 * randn(4, 3, 2, 3) + 5, randn(3), randn(3))
case("BatchNormTrain2", lambda x, s, b: F.batch_norm(x, None, None, s, b, True, 0, 1e-5), randn(6, 4), randn(4), randn(4))
case("BatchNorm", lambda x, s, b, m, v: F.batch_norm(x, m, v, s, b, False, 0, 1e-5),
     randn(3, 2, 4), randn(2), randn(2), randn(2), randn(2).abs() + 0.1, fixed=(3, 4))
case("CrossEntropy", F.cross_entropy, 3 * randn(5, 4), torch.randint(4, (5,)))
case("CrossEntropyImages", F.cross_entropy, 3 * randn(2, 4, 3, 2), torch.randint(4, (2, 3, 2)))
case("NLL", F.nll_loss, randn(5, 4), torch.randint(4, (5,)))
case("MSE", F.mse_loss, randn(3, 4), randn(3, 4), fixed=(1,))

# Conventions at kinks, ties and zeros, and the operators that are given by formulas.
case("HardSwish", F.hardswish, torch.tensor([-4.0, -3.0, -1.5, 0.0, 1.5, 3.0, 4.0]))
# F.hardsigmoid has a slope of 1/6 in float32.
case("HardSigmoid", lambda x: F.relu6(x + 3) / 6, torch.tensor([-4.0, -3.0, -1.5, 0.0, 1.5, 3.0, 4.0]))
case("Elu", lambda x: F.elu(x, 0.7), ties())
case("Celu", lambda x: F.celu(x, 0.5), ties())
case("Selu", F.selu, ties())
case("Softshrink", lambda x: F.softshrink(x, 0.5), ties())
case("Hardshrink", lambda x: F.hardshrink(x, 0.5), ties())
case("Threshold", lambda x: F.threshold(x, 0.5, 0.0), ties())
case("Softsign", F.softsign, ties())
case("Mish", F.mish, 3 * randn(9))
case("Swish", F.silu, 3 * randn(9))
case("Gelu", F.gelu, 2 * randn(9))
case("GeluTanh", lambda x: F.gelu(x, approximate="tanh"), 2 * randn(9))
case("PRelu", F.prelu, torch.tensor([[-2.0, 0.0, 1.0], [0.0, 3.0, -1.0]]), torch.tensor([0.25, -0.5, 2.0]))
case("Sign", torch.sign, ties())
case("Round", torch.round, ties())
case("Floor", torch.floor, ties())
case("Ceil", torch.ceil, ties())
case("Pow", torch.pow, torch.tensor([0.0, 0.0, 1.5, 2.0, 3.0]), torch.tensor([0.0, 2.0, 0.0, -1.0, 0.5]))
case("PowConst", lambda x: torch.pow(x, 3), ties())
case("PowZero", lambda x: torch.pow(x, 0), ties())
case("Max", torch.maximum, ties(), torch.tensor([-2.0, 0.0, -0.5, -1.0, 0.5, 2.0, 2.0, 1.0]))
case("Min", torch.minimum, ties(), torch.tensor([-2.0, 0.0, -0.5, -1.0, 0.5, 2.0, 2.0, 1.0]))
case("Fmod", torch.fmod, torch.tensor([-4.3, 7.2, 5.0, 4.3]), torch.tensor([2.1, -3.4, 8.0, -2.1]))
case("FloorMod", torch.remainder, torch.tensor([-4.3, 7.2, 5.0, 4.3]), torch.tensor([2.1, -3.4, 8.0, -2.1]))
case("ReduceMax", lambda x: torch.amax(x, 1), torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -1.0, -2.0]]))
case("ReduceMin", lambda x: torch.amin(x, 1), torch.tensor([[1.0, 3.0, 1.0], [2.0, 2.0, 2.0], [0.0, -1.0, -2.0]]))
case("ReduceProd", lambda x: torch.prod(x, 1), torch.tensor([[1.0, 3.0, -2.0], [2.0, 0.0, 4.0], [0.0, 5.0, 0.0]]))
case("ReduceL1", lambda x: x.abs().sum(1), torch.tensor([[1.0, -3.0, 0.0], [2.0, 0.0, 4.0]]))
case("ReduceL2", lambda x: torch.linalg.vector_norm(x, dim=1), torch.tensor([[1.0, -3.0, 0.0], [0.0, 0.0, 0.0]]))
case("ReduceLogSumExp", lambda x: torch.logsumexp(x, 1), torch.tensor([[1.0, -3.0, 700.0], [-800.0, -801.0, -799.0]]))
case("CumSum", lambda x: torch.cumsum(x, 1), randn(2, 4, 3))
case("CumProd", lambda x: torch.cumprod(x, 1), torch.tensor([[1.5, 0.0, -2.0, 3.0], [0.0, 2.0, 0.0, 1.0], [2.0, -1.0, 0.5, 4.0]]))
case("Trilu", lambda x: torch.tril(x, -1), randn(2, 3, 4))
case("GatherElements", lambda x, i: torch.gather(x, 1, i), randn(2, 4), torch.tensor([[0, 3, 3], [1, 1, 2]]))
case("ScatterElements", lambda x, i, u: torch.scatter(x, 1, i, u), randn(2, 4), torch.tensor([[0, 3], [1, 2]]), randn(2, 2))
case("ScatterAdd", lambda x, i, u: torch.scatter_add(x, 1, i, u), randn(2, 4), torch.tensor([[0, 3, 3], [1, 1, 1]]), randn(2, 3))
case("ScatterMul", lambda x, i, u: torch.scatter_reduce(x, 1, i, u, "prod"), torch.tensor([[1.0, 2.0, 0.0, 3.0], [1.0, 2.0, 3.0, 4.0]]),
     torch.tensor([[0, 3, 3], [1, 1, 2]]), torch.tensor([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0]]))
case("ScatterMax", lambda x, i, u: torch.scatter_reduce(x, 1, i, u, "amax"), torch.tensor([[1.0, 2.0, 0.0, 3.0], [1.0, 2.0, 3.0, 4.0]]),
     torch.tensor([[0, 3, 3], [1, 1, 2]]), torch.tensor([[2.0, 3.0, 3.0], [0.0, 5.0, 3.0]]))
case("Where", lambda c, x, y: torch.where(c != 0, x, y), torch.tensor([[1, 0, 1]]), randn(2, 1), randn(2, 3))
case("TopK", lambda x: torch.topk(x, 2, 1)[0], randn(3, 5))


def grid_case(name, mode, padding, corners):
    # Places inside, between and outside of the elements, none on a kink of the paddings.
    case(name, lambda x, g: F.grid_sample(x, g, mode, padding, corners), randn(2, 2, 4, 5), 1.6 * torch.rand(2, 3, 2, 2) - 0.8 + 0.3 * randn(2, 3, 2, 2))


grid_case("GridCubicZeros", "bicubic", "zeros", False)
grid_case("GridCubicBorder", "bicubic", "border", True)
grid_case("GridCubicReflect", "bicubic", "reflection", False)
grid_case("GridLinearZeros", "bilinear", "zeros", True)
grid_case("GridLinearReflect", "bilinear", "reflection", True)

json.dump({"torch": torch.__version__.split("+")[0], "cases": cases}, sys.stdout)
print()
