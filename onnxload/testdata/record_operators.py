"""Records values and gradients of PyTorch for nodes of ONNX, for operators_torch_test.go.

    python record_operators.py operators

writes operators/FAMILY.json.gz. A case is a node with its attributes and inputs, and what PyTorch gives for the same
numbers in float64: every output, and the gradients of the sum over all outputs of sum(output * w), with
w[i] = 1 + (i % 7) / 8, for every input of floats that is not a constant. Numbers have 14 digits.
"""
import gzip
import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
import torchvision

torch.set_default_dtype(torch.float64)


def randn(*shape):
    """Normal numbers in steps of 1/64: short in a file, exact in float32."""
    return (torch.randn(*shape) * 64).round() / 64


def distinct(*shape):
    """Numbers of which no two are equal and none is 0."""
    n = math.prod(shape)
    return ((torch.randperm(n) - n // 2).double() / 8 + 1 / 16).reshape(shape)


def f32(x):
    """An attribute as ONNX keeps it."""
    return torch.tensor(x, dtype=torch.float32).item()


class const:
    def __init__(self, t):
        self.t = torch.as_tensor(t)


def numbers(t):
    t = t.detach().reshape(-1)
    if not t.is_floating_point():
        return [int(v) for v in t.tolist()]
    return [str(v) if not math.isfinite(v) else float("%.14g" % v) for v in t.tolist()]


def record(t):
    kind = "float" if t.is_floating_point() else "bool" if t.dtype == torch.bool else "int"
    return {"shape": list(t.shape), "kind": kind, "data": numbers(t)}


def attribute(v):
    if isinstance(v, str):
        return {"s": v}
    if isinstance(v, (bool, int)):
        return {"i": int(v)}
    if isinstance(v, float):
        return {"f": f32(v)}
    if all(isinstance(e, int) for e in v):
        return {"ints": list(v)}
    return {"floats": [f32(e) for e in v]}


families = {}
family = None


def begin(name):
    global family
    family = families.setdefault(name, [])
    torch.manual_seed(1)


def case(name, op, opset, inputs, f, **attrs):
    """f takes the inputs that are present, constants among them, and returns an output or a tuple of them, None for one that
    is not wanted."""
    leaves, args = [], []
    for x in inputs:
        t = x.t if isinstance(x, const) else x
        if t is not None and not isinstance(x, const) and t.is_floating_point():
            t = t.clone().requires_grad_()
        leaves.append(t)
        if t is not None:
            args.append(t)
    y = f(*args)
    outs = y if isinstance(y, tuple) else (y,)
    total = sum((o.reshape(-1) * (1 + (torch.arange(o.numel()) % 7).double() / 8)).sum()
                for o in outs if o is not None and o.is_floating_point())
    if isinstance(total, torch.Tensor) and total.requires_grad:
        total.backward()
    recorded = []
    for x, t in zip(inputs, leaves):
        if t is None:
            recorded.append(None)
            continue
        r = record(t)
        if isinstance(x, const):
            r["const"] = True
        elif t.is_floating_point():
            r["grad"] = numbers(t.grad if t.grad is not None else torch.zeros_like(t))
        recorded.append(r)
    family.append({"name": name, "op": op, "opset": opset, "attrs": {k: attribute(v) for k, v in attrs.items()},
                   "inputs": recorded, "outputs": [None if o is None else record(o) for o in outs]})


# --- Resize ---------------------------------------------------------------------------------------------------------
begin("resize")


def resize(name, mode, shape, size=None, scales=None, corners=None, antialias=False, opset=19, **attrs):
    onnx_mode = {"nearest": "nearest", "nearest-exact": "nearest", "bicubic": "cubic"}.get(mode, "linear")
    if mode == "nearest":
        attrs.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    elif mode == "nearest-exact":
        attrs.update(coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_ceil")
    else:
        attrs["coordinate_transformation_mode"] = "align_corners" if corners else "half_pixel"
    if antialias:
        attrs.update(antialias=1, exclude_outside=1)  # PyTorch normalises over what lies inside
    if onnx_mode == "cubic":
        attrs["cubic_coeff_a"] = -0.5 if antialias else -0.75
    rank = len(shape) - 2
    inputs = [distinct(*shape) / 4, None]
    if scales is not None:
        inputs += [const(torch.tensor([1.0, 1.0] + scales))]
    else:
        inputs += [None, const(torch.tensor(list(shape[:2]) + size))]

    def f(x, _):
        return F.interpolate(x, size, scales, mode, corners, antialias=antialias)

    assert rank == len(size or scales)
    case(name, "Resize", opset, inputs, f, mode=onnx_mode, **attrs)


for mode, base, shapes in [
    ("nearest", "Nearest", True), ("nearest-exact", "NearestExact", True), ("linear", "Linear", True),
    ("bicubic", "Cubic", False),
]:
    for corners in ([None] if "nearest" in mode else [False, True]):
        tag = base + ("Corners" if corners else "")
        two = "bilinear" if mode == "linear" else mode
        if shapes:
            resize(tag + "1", mode, (1, 2, 5), [8], corners=corners)
            three = "trilinear" if mode == "linear" else mode
            resize(tag + "3", three, (1, 1, 3, 2, 4), [2, 5, 3], corners=corners)
        resize(tag + "Up", two, (1, 2, 3, 4), [5, 9], corners=corners, opset=13)
        resize(tag + "Down", two, (1, 2, 7, 5), [3, 2], corners=corners, opset=11)
        resize(tag + "One", two, (1, 1, 4, 3), [6, 1] if corners or "nearest" in mode else [6, 2], corners=corners)
        if not corners:
            resize(tag + "Scales", two, (1, 1, 5, 6), scales=[1.5, 0.625], corners=corners)
            resize(tag + "ScalesDown", two, (1, 2, 7, 6), scales=[0.375, 0.75], corners=corners, opset=18)
resize("LinearAntialias", "bilinear", (1, 2, 7, 5), [3, 2], corners=False, antialias=True)
resize("LinearAntialiasMixed", "bilinear", (1, 1, 7, 4), [2, 9], corners=False, antialias=True)
resize("LinearAntialiasScales", "bilinear", (1, 1, 9, 8), scales=[0.375, 0.25], corners=False, antialias=True)
resize("CubicAntialias", "bicubic", (1, 1, 9, 7), [4, 3], corners=False, antialias=True)
resize("CubicAntialiasMixed", "bicubic", (1, 1, 8, 3), [3, 7], corners=False, antialias=True, opset=18)
# Scales that lead almost to an element: PyTorch rounds to float32, to the element.
resize("NearestRounding", "nearest", (1, 1, 12), scales=[1.2])
resize("NearestRounding2", "nearest", (1, 1, 9, 7), scales=[2.2, 1.7])
resize("NearestRoundingSizes", "nearest", (1, 1, 13, 14), [7, 4])
resize("NearestExactRounding", "nearest-exact", (1, 1, 14, 9), scales=[0.7, 1.1])
resize("NearestExactRoundingSizes", "nearest-exact", (1, 1, 13, 7), [7, 13])
case("Upsample", "Upsample", 9, [randn(1, 2, 3, 2), const([1.0, 1.0, 2.0, 3.0])],
     lambda x, _: F.interpolate(x, scale_factor=(2.0, 3.0), mode="nearest"), mode="nearest")

# --- Attention ------------------------------------------------------------------------------------------------------
begin("attention")
sdpa = F.scaled_dot_product_attention
case("Plain", "Attention", 23, [randn(2, 3, 4, 5), randn(2, 3, 6, 5), randn(2, 3, 6, 2)], lambda q, k, v: sdpa(q, k, v))
case("Scale", "Attention", 24, [randn(1, 2, 3, 4), randn(1, 2, 5, 4), randn(1, 2, 5, 4)],
     lambda q, k, v: sdpa(q, k, v, scale=0.375), scale=0.375)
case("Causal", "Attention", 23, [randn(2, 2, 4, 3), randn(2, 2, 4, 3), randn(2, 2, 4, 3)],
     lambda q, k, v: sdpa(q, k, v, is_causal=True), is_causal=1)
case("CausalMoreKeys", "Attention", 24, [randn(1, 1, 3, 2), randn(1, 1, 5, 2), randn(1, 1, 5, 3)],
     lambda q, k, v: sdpa(q, k, v, is_causal=True), is_causal=1)
case("CausalFewerKeys", "Attention", 23, [randn(1, 2, 5, 2), randn(1, 2, 3, 2), randn(1, 2, 3, 2)],
     lambda q, k, v: sdpa(q, k, v, is_causal=True), is_causal=1)
case("GroupedQueries", "Attention", 23, [randn(1, 6, 3, 4), randn(1, 2, 5, 4), randn(1, 2, 5, 3)],
     lambda q, k, v: sdpa(q, k, v, enable_gqa=True))
case("OneKeyHead", "Attention", 24, [randn(2, 3, 2, 4), randn(2, 1, 3, 4), randn(2, 1, 3, 4)],
     lambda q, k, v: sdpa(q, k, v, enable_gqa=True, is_causal=True), is_causal=1)
for shape in [(4, 5), (1, 1, 4, 5), (2, 1, 4, 5), (2, 3, 4, 5), (2, 1, 1, 5), (3, 1, 5)]:
    tag = "x".join(map(str, shape))
    mask = torch.rand(shape) < 0.6
    mask[..., 0] = True
    qkv = [randn(2, 3, 4, 2), randn(2, 3, 5, 2), randn(2, 3, 5, 3)]
    case("BoolMask" + tag, "Attention", 23, qkv + [const(mask)], lambda q, k, v, m: sdpa(q, k, v, m))
    case("BoolMaskData" + tag, "Attention", 24, qkv + [mask], lambda q, k, v, m: sdpa(q, k, v, m))
    case("FloatMask" + tag, "Attention", 23, qkv + [randn(*shape)], lambda q, k, v, m: sdpa(q, k, v, m))
case("MaskAndScale", "Attention", 23, [randn(1, 4, 2, 3), randn(1, 2, 3, 3), randn(1, 2, 3, 3), randn(1, 4, 2, 3)],
     lambda q, k, v, m: sdpa(q, k, v, m, scale=1.25, enable_gqa=True), scale=1.25)
case("IntMask", "Attention", 23, [randn(1, 1, 2, 3), randn(1, 1, 3, 3), randn(1, 1, 3, 2), const([[0, 1, 2], [-1, 0, 1]])],
     lambda q, k, v, m: sdpa(q, k, v, m.double()))
case("MaskOfInfinity", "Attention", 23, [randn(1, 1, 2, 3), randn(1, 1, 3, 3), randn(1, 1, 3, 2),
                                        const([[0.0, -math.inf, 0.5], [-math.inf, 0.0, 0.0]])],
     lambda q, k, v, m: sdpa(q, k, v, m))
hidden = torch.tensor([[True, False, True], [False, False, False]])
for name, m in [("FullyMasked", const(hidden)), ("FullyMaskedData", hidden), ("FullyMaskedFloat", const(torch.where(hidden, 0.0, -math.inf)))]:
    case(name, "Attention", 23, [randn(1, 1, 2, 3), randn(1, 1, 3, 3), randn(1, 1, 3, 2), m], lambda q, k, v, m: sdpa(q, k, v, m))


def apart(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def flat_attention(q, k, v, heads=4, kv=2, **how):
    y = sdpa(apart(q, heads), apart(k, kv), apart(v, kv), **how)
    return y.transpose(1, 2).reshape(*q.shape[:2], -1)


case("ThreeDimensions", "Attention", 23, [randn(2, 3, 8), randn(2, 5, 4), randn(2, 5, 6)],
     lambda q, k, v: flat_attention(q, k, v, enable_gqa=True), q_num_heads=4, kv_num_heads=2)


def softcapped(q, k, v, cap=1.5):
    s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return torch.softmax(cap * torch.tanh(s / cap), -1) @ v


case("Softcap", "Attention", 23, [randn(1, 2, 3, 4), randn(1, 2, 4, 4), randn(1, 2, 4, 2)], softcapped, softcap=1.5)


def with_past(q, k, v, pk, pv):
    k, v = torch.cat([pk, k], 2), torch.cat([pv, v], 2)
    s, t = q.shape[2], k.shape[2]
    mask = torch.ones(s, t, dtype=torch.bool).tril(t - s)
    return sdpa(q, k, v, mask), k, v


case("Past", "Attention", 23, [randn(1, 2, 3, 2), randn(1, 2, 3, 2), randn(1, 2, 3, 4), None, randn(1, 2, 2, 2), randn(1, 2, 2, 4)],
     with_past, is_causal=1)



def linear_attention(q, k, v, *rest, rule, heads, groups, past=False, scale=None):
    rest = list(rest)
    b, t, _ = q.shape
    q, k, v = apart(q, heads), apart(k, groups), apart(v, groups)
    state = rest.pop(0) if past else torch.zeros(b, groups, k.shape[-1], v.shape[-1])
    decay = apart(rest.pop(0), groups) if "gated" in rule else None
    beta = rest.pop(0) if "delta" in rule else None
    out = []
    for i in range(t):
        if decay is not None:
            state = state * decay[:, :, i, :, None].exp()
        new = v[:, :, i]
        if beta is not None:
            new = beta[:, i, :, None] * (new - torch.einsum("bgde,bgd->bge", state, k[:, :, i]))
        state = state + torch.einsum("bgd,bge->bgde", k[:, :, i], new)
        out.append(torch.einsum("bhd,bhde->bhe", q[:, :, i], state.repeat_interleave(heads // groups, 1)))
    scale = scale or 1 / math.sqrt(q.shape[-1])
    return scale * torch.stack(out, 1).reshape(b, t, -1), state


for rule, past, wide, ones in [("linear", False, False, False), ("gated", True, True, False), ("delta", True, False, True), ("gated_delta", False, False, False),
                               ("gated_delta", True, True, True)]:
    inputs = [randn(2, 3, 4 * 2), randn(2, 3, 2 * 2), randn(2, 3, 2 * 3), randn(2, 2, 2, 3) if past else None,
              -randn(2, 3, 2 * (2 if wide else 1)).abs() if "gated" in rule else None, randn(2, 3, 1 if ones else 2) if "delta" in rule else None]
    while inputs[-1] is None:
        inputs.pop()
    extra = {"scale": 0.75} if past else {}
    case(f"Linear_{rule}{'_past' if past else ''}", "LinearAttention", 27, inputs,
         lambda *x: linear_attention(*x, rule=rule, heads=4, groups=2, past=past, **extra), update_rule=rule, q_num_heads=4, kv_num_heads=2, **extra)

# --- Normalisations -------------------------------------------------------------------------------------------------
begin("norm")
for groups, shape in [(1, (2, 4, 3)), (2, (2, 4, 3, 2)), (3, (1, 6, 5)), (4, (2, 4, 2, 1, 3))]:
    tag = f"{groups}of" + "x".join(map(str, shape))
    case("GroupNorm" + tag, "GroupNormalization", 21, [randn(*shape), randn(shape[1]), randn(shape[1])],
         lambda x, s, b: F.group_norm(x, groups, s, b, f32(1e-3)), num_groups=groups, epsilon=1e-3)
case("GroupNormOfGroups", "GroupNormalization", 18, [randn(2, 6, 3), randn(2), randn(2)],
     lambda x, s, b: F.group_norm(x, 2, s.repeat_interleave(3), b.repeat_interleave(3), 1e-5), num_groups=2)
for shape in [(2, 3, 5), (1, 2, 3, 4), (2, 2, 2, 3, 2)]:
    case("InstanceNorm" + "x".join(map(str, shape)), "InstanceNormalization", 6, [randn(*shape), randn(shape[1]), randn(shape[1])],
         lambda x, s, b: F.instance_norm(x, None, None, s, b, True, 0, 1e-5))
case("InstanceNorm22", "InstanceNormalization", 22, [3 * randn(2, 3, 4), randn(3), randn(3)],
     lambda x, s, b: F.instance_norm(x, None, None, s, b, True, 0, 0.125), epsilon=0.125)
for axis in (0, 1, 2, -1, -2):
    shape = (3, 2, 5)
    inner = shape[axis:]
    case(f"RMSNorm{axis}", "RMSNormalization", 23, [randn(*shape), randn(*inner)],
         lambda x, s: F.rms_norm(x, inner, s, 1e-5), axis=axis)
    case(f"LayerNorm{axis}", "LayerNormalization", 17, [randn(*shape) + 1, randn(*inner), randn(*inner)],
         lambda x, s, b: F.layer_norm(x, inner, s, b, 1e-5), axis=axis)
case("RMSNormEpsilon", "RMSNormalization", 23, [randn(2, 3, 7) / 8, randn(7)], lambda x, s: F.rms_norm(x, (7,), s, 0.25), epsilon=0.25)
case("RMSNormBroadcast", "RMSNormalization", 23, [randn(2, 3, 4), randn(3, 1)],
     lambda x, s: F.rms_norm(x, (3, 4), None, 1e-5) * s, axis=1)


def layer_norm_outputs(x, s, b, eps=1e-5):
    m = x.mean((1, 2), keepdim=True)
    i = (x.var((1, 2), correction=0, keepdim=True) + eps).rsqrt()
    return F.layer_norm(x, x.shape[1:], s, b, eps), m, i


case("LayerNormOutputs", "LayerNormalization", 17, [randn(2, 3, 4), randn(3, 4), randn(3, 4)], layer_norm_outputs, axis=1)
case("LayerNormNoBias", "LayerNormalization", 17, [randn(4, 9), randn(9)], lambda x, s: F.layer_norm(x, (9,), s, None, 0.5), epsilon=0.5)
case("LayerNormBroadcast", "LayerNormalization", 17, [randn(2, 3, 4), randn(4), randn(3, 1)],
     lambda x, s, b: F.layer_norm(x, (3, 4), None, None, 1e-5) * s + b, axis=1)
for size in (1, 3, 5):
    case(f"LRN{size}", "LRN", 13, [randn(2, 6, 2)], lambda x: F.local_response_norm(x, size, 0.75, 0.5, 1.25),
         size=size, alpha=0.75, beta=0.5, bias=1.25)
for size in (2, 4):  # PyTorch has the longer half of an even window before, ONNX behind
    case(f"LRN{size}", "LRN", 13, [randn(1, 5, 3, 2)], lambda x: F.local_response_norm(x.flip(1), size, 0.5, 0.75, 2.0).flip(1),
         size=size, alpha=0.5, beta=0.75, bias=2.0)
for p in (1, 2):
    for axis in (-1, 0, 1):
        case(f"LpNormalization{p}Axis{axis}", "LpNormalization", 22, [distinct(3, 2, 4)],
             lambda x: x / torch.linalg.vector_norm(x, p, axis, keepdim=True), p=p, axis=axis)
case("MeanVariance", "MeanVarianceNormalization", 13, [randn(2, 3, 2, 2)],
     lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True).sqrt() + 1e-9))


def batch_norm_outputs(x, s, b, m, v, momentum=0.75):
    axes = [a for a in range(x.dim()) if a != 1]
    mean, var = x.detach().mean(axes), x.detach().var(axes, correction=0)  # biased, unlike PyTorch's
    return F.batch_norm(x, None, None, s, b, True, 0, 1e-5), momentum * m + (1 - momentum) * mean, momentum * v + (1 - momentum) * var


case("BatchNormStatistics", "BatchNormalization", 15, [randn(3, 2, 4), randn(2), randn(2), randn(2), randn(2).abs()], batch_norm_outputs,
     training_mode=1, momentum=0.75)
case("DropoutOfNothing", "Dropout", 13, [randn(2, 3), const(0.0), const(True)], lambda x, *_: (1 * x, torch.ones(2, 3, dtype=torch.bool)))
case("SoftmaxCoerced", "Softmax", 11, [randn(2, 3, 4)], lambda x: F.softmax(x.reshape(2, 12), 1).reshape(2, 3, 4))
case("SoftmaxCoerced2", "Softmax", 11, [randn(2, 3, 2, 2)], lambda x: F.softmax(x.reshape(6, 4), 1).reshape(2, 3, 2, 2), axis=2)
case("LogSoftmaxCoerced0", "LogSoftmax", 1, [randn(2, 3)], lambda x: F.log_softmax(x.reshape(1, 6), 1).reshape(2, 3), axis=0)

# --- Grids ----------------------------------------------------------------------------------------------------------
begin("grid")
for corners in (False, True):
    tag = "Corners" if corners else ""
    case("AffineGrid2" + tag, "AffineGrid", 20, [randn(2, 2, 3), const([2, 1, 3, 4])],
         lambda t, _: F.affine_grid(t, (2, 1, 3, 4), corners), align_corners=int(corners))
    case("AffineGrid3" + tag, "AffineGrid", 20, [randn(1, 3, 4), const([1, 2, 2, 3, 2])],
         lambda t, _: F.affine_grid(t, (1, 2, 2, 3, 2), corners), align_corners=int(corners))
    case("AffineGridOne" + tag, "AffineGrid", 20, [randn(1, 2, 3), const([1, 1, 1, 3])],
         lambda t, _: F.affine_grid(t, (1, 1, 1, 3), corners), align_corners=int(corners))
    for mode, name in [("bilinear", "linear"), ("nearest", "nearest"), ("bicubic", "cubic")]:
        for padding in ("zeros", "border", "reflection"):
            # Places inside and outside; none on a border between elements.
            grid = 2.5 * torch.rand(1, 3, 3, 2) - 1.25
            grid = (grid * 1021).round() / 1024
            case(f"Grid{name}{padding}{tag}", "GridSample", 20 if mode != "nearest" else 22, [randn(1, 2, 3, 4), grid],
                 lambda x, g: F.grid_sample(x, g, mode, padding, corners), mode=name, padding_mode=padding, align_corners=int(corners))
            if mode != "bicubic":
                grid = ((2.5 * torch.rand(1, 2, 1, 3, 3) - 1.25) * 1021).round() / 1024
                case(f"Grid3{name}{padding}{tag}", "GridSample", 20, [randn(1, 2, 2, 3, 2), grid],
                     lambda x, g: F.grid_sample(x, g, mode, padding, corners), mode=name, padding_mode=padding, align_corners=int(corners))

# --- Convolutions ---------------------------------------------------------------------------------------------------
begin("conv")
conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
transposed = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
for name, shape, out, kernel, stride, pad, dilation, group, bias in [
    ("1", (2, 3, 7), 4, (3,), (1,), (1,), (1,), 1, True),
    ("1Strided", (1, 4, 10), 6, (4,), (3,), (2,), (2,), 2, True),
    ("1Depthwise", (2, 3, 8), 3, (3,), (2,), (0,), (1,), 3, False),
    ("1Point", (2, 3, 5), 2, (1,), (1,), (0,), (1,), 1, True),
    ("2Dilated", (1, 2, 7, 6), 3, (3, 2), (2, 1), (2, 1), (2, 3), 1, True),
    ("2Grouped", (2, 4, 5, 4), 6, (3, 3), (1, 2), (1, 0), (1, 1), 2, True),
    ("2Depthwise", (1, 3, 5, 6), 6, (3, 3), (1, 1), (1, 1), (1, 1), 3, True),
    ("3", (1, 2, 4, 3, 5), 3, (2, 3, 2), (1, 1, 1), (0, 1, 1), (1, 1, 1), 1, True),
    ("3Strided", (1, 2, 5, 4, 6), 4, (3, 2, 3), (2, 1, 2), (1, 0, 2), (1, 2, 2), 2, True),
]:
    rank = len(kernel)
    inputs = [randn(*shape), randn(out, shape[1] // group, *kernel)] + ([randn(out)] if bias else [])
    case("Conv" + name, "Conv", 11, inputs, lambda x, w, b=None: conv[rank](x, w, b, stride, pad, dilation, group),
         kernel_shape=kernel, strides=stride, pads=pad + pad, dilations=dilation, group=group)
case("ConvAsymmetric", "Conv", 22, [randn(1, 2, 5, 4), randn(3, 2, 2, 3)],
     lambda x, w: F.conv2d(F.pad(x, (2, 0, 0, 1)), w, stride=(2, 1)), pads=(0, 2, 1, 0), strides=(2, 1))
case("ConvSameUpper", "Conv", 22, [randn(1, 1, 6), randn(2, 1, 3)], lambda x, w: F.conv1d(F.pad(x, (0, 1)), w, stride=2),
     auto_pad="SAME_UPPER", strides=(2,))
case("ConvSameLower", "Conv", 22, [randn(1, 1, 6), randn(2, 1, 3)], lambda x, w: F.conv1d(F.pad(x, (1, 0)), w, stride=2),
     auto_pad="SAME_LOWER", strides=(2,))
for name, shape, out, kernel, stride, pad, extra, dilation, group, bias in [
    ("1", (2, 3, 5), 4, (3,), (1,), (0,), (0,), (1,), 1, True),
    ("1Strided", (1, 4, 4), 6, (4,), (3,), (2,), (1,), (2,), 2, True),
    ("1Depthwise", (1, 3, 4), 3, (3,), (2,), (1,), (1,), (1,), 3, False),
    ("2", (1, 2, 3, 4), 3, (3, 2), (2, 1), (1, 0), (1, 0), (1, 1), 1, True),
    ("2Dilated", (1, 2, 3, 3), 2, (2, 3), (3, 2), (1, 2), (2, 1), (2, 2), 1, True),
    ("2Grouped", (2, 4, 2, 3), 6, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 2, True),
    ("3", (1, 2, 2, 3, 2), 2, (2, 3, 2), (1, 2, 2), (0, 1, 1), (0, 1, 1), (1, 1, 1), 1, True),
    ("3Grouped", (1, 2, 2, 2, 3), 4, (3, 2, 2), (2, 1, 3), (1, 0, 1), (1, 0, 2), (1, 2, 1), 2, False),
]:
    rank = len(kernel)
    inputs = [randn(*shape), randn(shape[1], out // group, *kernel)] + ([randn(out)] if bias else [])
    case("ConvTranspose" + name, "ConvTranspose", 11, inputs,
         lambda x, w, b=None: transposed[rank](x, w, b, stride, pad, extra, group, dilation),
         kernel_shape=kernel, strides=stride, pads=pad + pad, output_padding=extra, dilations=dilation, group=group)
for name, n, c, image, block, dilation, pad, stride in [
    ("", 2, 2, (4, 5), (2, 3), (1, 1), (0, 0), (1, 1)),
    ("Strided", 1, 3, (5, 6), (2, 2), (1, 1), (1, 0), (2, 3)),
    ("Dilated", 1, 1, (6, 7), (2, 3), (3, 2), (1, 2), (1, 2)),
]:
    places = math.prod((i + 2 * p - d * (b - 1) - 1) // s + 1 for i, b, d, p, s in zip(image, block, dilation, pad, stride))
    case("Col2Im" + name, "Col2Im", 18, [randn(n, c * math.prod(block), places), const(list(image)), const(list(block))],
         lambda x, *_: F.fold(x, image, block, dilation, pad, stride), dilations=dilation, pads=pad + pad, strides=stride)

# --- Vision ---------------------------------------------------------------------------------------------------------
begin("vision")
for aligned in (False, True):
    for samples in (0, 2):
        for opset in (10, 16, 22):
            if opset == 10 and aligned:
                continue
            mode = {} if opset == 10 else {"coordinate_transformation_mode": "half_pixel" if aligned else "output_half_pixel"}
            rois = torch.tensor([[0.5, 1.0, 6.5, 5.25], [-3.0, -2.0, 4.0, 3.5], [4.25, 3.0, 15.0, 14.5], [2.0, 2.25, 2.5, 2.75], [5.0, 5.0, 3.0, 4.0]])
            batch = torch.tensor([1, 0, 1, 0, 1])
            case(f"RoiAlign{samples}{'Aligned' if aligned else ''}_{opset}", "RoiAlign", opset, [randn(2, 2, 6, 5), const(rois), const(batch)],
                 lambda x, r, b: torchvision.ops.roi_align(x, torch.cat([b[:, None].double(), r], 1), (2, 3), 0.75, samples or -1, aligned),
                 output_height=2, output_width=3, sampling_ratio=samples, spatial_scale=0.75, **mode)
for name, shape, out, kernel, stride, pad, dilation, group, groups, bias, masked in [
    ("", (2, 2, 4, 5), 3, (2, 3), (1, 1), (0, 0), (1, 1), 1, 1, False, False),
    ("Bias", (1, 2, 5, 4), 2, (3, 2), (2, 1), (1, 1), (1, 1), 1, 1, True, False),
    ("Grouped", (1, 4, 5, 6), 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, 2, True, True),
    ("Masked", (2, 2, 4, 4), 2, (3, 3), (1, 1), (1, 1), (1, 1), 1, 2, False, True),
]:
    places = [(s + 2 * p - d * (k - 1) - 1) // t + 1 for s, p, d, k, t in zip(shape[2:], pad, dilation, kernel, stride)]
    taps = math.prod(kernel)
    inputs = [randn(*shape), randn(out, shape[1] // group, *kernel), randn(shape[0], groups * taps * 2, *places)]
    inputs[2][0, 0, 0, 0] = 0.0  # on an element
    inputs.append(randn(out) if bias else None)
    if masked:
        inputs.append(torch.rand(shape[0], groups * taps, *places).float().double())
    present = [i for i in range(len(inputs)) if inputs[i] is not None]

    def deform(*given):
        x, w, o, b, m = [dict(zip(present, given)).get(i) for i in range(5)]
        return torchvision.ops.deform_conv2d(x, o, w, b, stride, pad, dilation, m)
    case("DeformConv" + name, "DeformConv", 19 if masked else 22, inputs, deform, strides=stride, pads=pad + pad, dilations=dilation, group=group,
         offset_group=groups)

# --- Poolings -------------------------------------------------------------------------------------------------------
begin("pool")
for name, shape, kernel, stride, pad, dilation, ceil in [
    ("", (1, 2, 4, 5, 4), (2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 1, 1), False),
    ("Padded", (1, 1, 5, 4, 6), (3, 2, 3), (2, 1, 3), (1, 1, 1), (1, 1, 1), False),
    ("Ceil", (1, 1, 5, 4, 6), (3, 2, 3), (2, 3, 2), (1, 0, 1), (1, 1, 1), True),
    ("Dilated", (1, 1, 6, 5, 5), (2, 2, 2), (1, 2, 1), (1, 0, 1), (2, 3, 2), False),
]:
    case("MaxPool3" + name, "MaxPool", 12, [distinct(*shape)], lambda x: F.max_pool3d(x, kernel, stride, pad, dilation, ceil),
         kernel_shape=kernel, strides=stride, pads=pad + pad, dilations=dilation, ceil_mode=int(ceil))
for name, shape, kernel, stride, pad, ceil, count in [
    ("1", (2, 2, 8), (3,), (2,), (1,), False, False),
    ("1Count", (2, 2, 8), (3,), (2,), (1,), False, True),
    ("1Ceil", (1, 2, 9), (4,), (3,), (0,), True, False),
    ("3", (1, 2, 4, 5, 4), (2, 3, 2), (2, 1, 2), (0, 1, 0), False, False),
    ("3Count", (1, 1, 4, 5, 4), (2, 3, 2), (1, 2, 2), (1, 1, 1), False, True),
    ("3Ceil", (1, 1, 5, 4, 6), (2, 3, 3), (2, 2, 2), (1, 1, 1), True, True),
]:
    pool = {1: F.avg_pool1d, 3: F.avg_pool3d}[len(kernel)]
    case("AveragePool" + name, "AveragePool", 22, [randn(*shape)], lambda x: pool(x, kernel, stride, pad, ceil, count),
         kernel_shape=kernel, strides=stride, pads=pad + pad, ceil_mode=int(ceil), count_include_pad=int(count))
for p in (1, 2, 3):
    # PyTorch takes powers of the numbers, ONNX of their absolute values.
    case(f"LpPool1P{p}", "LpPool", 18, [distinct(2, 2, 7)], lambda x: F.lp_pool1d(x.abs(), p, 3, 2), kernel_shape=(3,), strides=(2,), p=p)
    case(f"LpPool2P{p}", "LpPool", 22, [distinct(1, 2, 5, 6)], lambda x: F.lp_pool2d(x.abs(), p, (2, 3), (1, 2)),
         kernel_shape=(2, 3), strides=(1, 2), p=p)
for name, shape, kernel, stride in [("1", (2, 2, 7), (2,), (2,)), ("2", (1, 2, 4, 6), (2, 3), (2, 3)), ("3", (1, 2, 2, 4, 2), (2, 2, 1), (2, 2, 1))]:
    pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(kernel)]
    y, at = pool(distinct(*shape), kernel, stride, return_indices=True)
    full = [(s - 1) * t + k for s, k, t in zip(y.shape[2:], kernel, stride)]
    # Indices of PyTorch count in one channel of what was pooled, ONNX's in the whole tensor that the kernel gives.
    left, places = at, []
    for s in reversed(shape[2:]):
        places.insert(0, left % s)
        left = left // s
    flat = torch.zeros_like(at)
    for s, q in zip(full, places):
        flat = flat * s + q
    within = flat
    flat = flat + (torch.arange(y.numel()) // math.prod(y.shape[2:])).reshape(y.shape) * math.prod(full)
    unpool = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}[len(kernel)]
    case("MaxUnpool" + name, "MaxUnpool", 11, [randn(*y.shape), const(flat)],
         lambda x, _: unpool(x, within, kernel, stride, output_size=full), kernel_shape=kernel, strides=stride)
case("GlobalAverage3", "GlobalAveragePool", 1, [randn(2, 2, 2, 3, 2)], lambda x: F.adaptive_avg_pool3d(x, 1))
case("GlobalMax1", "GlobalMaxPool", 22, [distinct(2, 3, 5)], lambda x: F.adaptive_max_pool1d(x, 1))
case("GlobalLp", "GlobalLpPool", 2, [distinct(2, 2, 3, 2)], lambda x: torch.linalg.vector_norm(x, 3, (2, 3), keepdim=True), p=3)

# --- One operand ----------------------------------------------------------------------------------------------------
begin("elementwise")
some = torch.tensor([-3.0, -1.5, -1.0, -0.5, -0.125, 0.0, 0.125, 0.5, 1.0, 1.5, 3.0])
inside = torch.tensor([-0.875, -0.5, -0.125, 0.0, 0.25, 0.5, 0.9375])
for name in "Sin Cos Sinh Cosh Atan Asinh Exp Neg".split():
    case(name, name, 22, [some], getattr(torch, name.lower()))
for name in "Tan Asin Acos Atanh".split():
    case(name, name, 22, [inside], getattr(torch, name.lower()))
for name in "Log Sqrt Reciprocal Acosh".split():
    case(name, name, 22, [torch.tensor([1.125, 1.5, 2.0, 7.0])], getattr(torch, name.lower()))
case("LogSmall", "Log", 13, [torch.tensor([2.0**-30, 0.25])], torch.log)
case("HardSigmoidDefault", "HardSigmoid", 6, [torch.tensor([-3.0, -2.0, 0.0, 1.5, 3.0])],
     lambda x: torch.clamp(0.2 * x + 0.5, 0, 1))
case("EluDefault", "Elu", 22, [some], F.elu)
case("SeluDefault", "Selu", 22, [some],
     lambda x: torch.where(x > 0, f32(1.0507010) * x, f32(1.0507010) * f32(1.6732632) * torch.expm1(x)))
case("CeluAlpha", "Celu", 12, [some], lambda x: F.celu(x, 2.0), alpha=2.0)
case("LeakyReluDefault", "LeakyRelu", 16, [some], lambda x: F.leaky_relu(x, 0.01))
case("LeakyReluNegative", "LeakyRelu", 16, [some], lambda x: F.leaky_relu(x, -0.5), alpha=-0.5)
case("ThresholdedReluDefault", "ThresholdedRelu", 22, [some], lambda x: F.threshold(x, 1.0, 0.0))
case("ShrinkBias", "Shrink", 9, [some], lambda x: torch.where(x < -1, x + 0.25, torch.where(x > 1, x - 0.25, 0.0)), lambd=1.0, bias=0.25)
case("SwishAlpha", "Swish", 24, [some], lambda x: x * torch.sigmoid(1.75 * x), alpha=1.75)
case("GeluDefault", "Gelu", 20, [some], F.gelu)
case("GeluTanh", "Gelu", 20, [some], lambda x: F.gelu(x, approximate="tanh"), approximate="tanh")
case("SoftplusLarge", "Softplus", 22, [torch.tensor([-40.0, -10.0, 0.0, 10.0])], lambda x: torch.logaddexp(x, torch.zeros(())))
case("MishLarge", "Mish", 22, [torch.tensor([-30.0, -5.0, 0.0, 5.0, 15.0])], F.mish)
case("PReluChannels", "PRelu", 16, [randn(2, 3, 2, 2), randn(3, 1, 1)], lambda x, s: F.prelu(x, s.reshape(3)))
case("PReluOne", "PRelu", 16, [randn(2, 3), randn(1)], F.prelu)
case("SwiGLU", "SwiGLU", 28, [randn(2, 3), randn(2, 3)], lambda a, b: F.silu(a) * b)
case("ErfWide", "Erf", 13, [2 * some], torch.erf)
case("SigmoidWide", "Sigmoid", 13, [10 * some], torch.sigmoid)

# --- Several operands -----------------------------------------------------------------------------------------------
begin("pairwise")
case("PowNegativeBase", "Pow", 15, [torch.tensor([-2.0, -1.5, -0.5, 0.0, 3.0]), const([3.0, 2.0, -1.0, 2.0, -2.0])], torch.pow)
case("PowIntegers", "Pow", 15, [torch.tensor([-2.0, 0.0, 1.5]), const([3, 2, -2])], torch.pow)
case("PowZeroExponent", "Pow", 13, [torch.tensor([-2.0, 0.0, 1.5]), const([0.0])], torch.pow)
case("PowZeroBase", "Pow", 13, [torch.tensor([0.0, 0.0, 0.0]), const([1.0, 2.0, 3.0])], torch.pow)
case("PowOfExponents", "Pow", 15, [torch.tensor([0.0, 0.0, 2.0, 0.5]), torch.tensor([2.0, 1.0, -1.5, 3.0])], torch.pow)
case("PowBroadcast", "Pow", 15, [randn(3, 1).abs() + 0.5, randn(1, 4)], torch.pow)
case("PowHalf", "Pow", 15, [torch.tensor([0.25, 2.0, 9.0]), const(0.5)], torch.pow)
case("ClipInputs", "Clip", 13, [some, torch.tensor(-1.0), torch.tensor(1.5)], torch.clamp)
# PyTorch clamps by numbers with other derivatives on the bounds than by tensors. Exporters write numbers as constants.
case("ClipConstants", "Clip", 13, [some, const(-1.0), const(1.5)], lambda x, a, b: torch.clamp(x, a.item(), b.item()))
case("ClipBelow", "Clip", 12, [some, const(-0.5)], lambda x, a: torch.clamp(x, a.item()))
case("ClipAttributes", "Clip", 6, [some], lambda x: torch.clamp(x, -0.5, 0.5), min=-0.5, max=0.5)
case("ClipCrossed", "Clip", 13, [some, const(1.0), const(-1.0)], torch.clamp)
case("WhereBroadcast", "Where", 16, [torch.tensor([[True], [False]]), randn(2, 3), randn(1)], torch.where)
case("MaxOfThree", "Max", 13, [distinct(2, 3), distinct(3) + 0.03125, distinct(2, 1) + 0.09375],
     lambda a, b, c: torch.maximum(torch.maximum(a, b), c))
case("MinTies", "Min", 13, [torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1.0, 3.0, -0.0])], torch.minimum)
case("MeanBroadcast", "Mean", 13, [randn(2, 3), randn(3), randn(2, 1)], lambda a, b, c: (a + b + c) / 3)
case("SumBroadcast", "Sum", 13, [randn(2, 3), randn(1), randn(2, 1)], lambda a, b, c: a + b + c)
case("AddBroadcast", "Add", 14, [randn(1, 3, 1), randn(2, 1, 4)], torch.add)
case("SubScalar", "Sub", 14, [randn(2, 3), torch.tensor(0.75)], torch.sub)
case("DivBroadcast", "Div", 14, [randn(1, 4), randn(3, 1).abs() + 0.25], torch.div)
case("GemmTransposed", "Gemm", 13, [randn(4, 3), randn(2, 4), randn(1, 2)], lambda a, b, c: 0.5 * a.T @ b.T + 2 * c,
     alpha=0.5, beta=2.0, transA=1, transB=1)
case("MatMulBroadcast", "MatMul", 13, [randn(2, 1, 3, 4), randn(3, 4, 2)], torch.matmul)
for shape in [(3, 3), (2, 1, 1), (2, 3, 2, 2), (1, 5, 5)]:
    case("Det" + "x".join(map(str, shape)), "Det", 22, [randn(*shape)], torch.linalg.det)
case("MatMulVectors", "MatMul", 13, [randn(5), randn(5)], torch.matmul)
case("MatMulVectorLeft", "MatMul", 13, [randn(4), randn(2, 4, 3)], torch.matmul)
case("MatMulVectorRight", "MatMul", 13, [randn(2, 3, 4), randn(4)], torch.matmul)

# --- Reductions -----------------------------------------------------------------------------------------------------
begin("reduce")
for name, f in {
    "ReduceSum": lambda x, a, k: x.sum(a, keepdim=k), "ReduceMean": lambda x, a, k: x.mean(a, keepdim=k),
    "ReduceMax": lambda x, a, k: torch.amax(x, a, k), "ReduceMin": lambda x, a, k: torch.amin(x, a, k),
    "ReduceL1": lambda x, a, k: torch.linalg.vector_norm(x, 1, a, k), "ReduceL2": lambda x, a, k: torch.linalg.vector_norm(x, 2, a, k),
    "ReduceSumSquare": lambda x, a, k: x.square().sum(a, keepdim=k), "ReduceLogSumExp": lambda x, a, k: torch.logsumexp(x, a, k),
    "ReduceLogSum": lambda x, a, k: x.sum(a, keepdim=k).log(),
}.items():
    x = randn(2, 3, 4).abs() + 0.5 if name == "ReduceLogSum" else randn(2, 3, 4)
    for axes, keep in [((1,), True), ((0, 2), False), ((-1, -2), True), ((0, 1, 2), False)]:
        opset = 18 if keep else 13
        tag = "".join(map(str, axes))
        if opset == 18 or name == "ReduceSum":
            case(f"{name}{tag}", name, opset, [x, const(list(axes))], lambda x, _: f(x, axes, keep), keepdims=int(keep))
        else:
            case(f"{name}{tag}", name, opset, [x], lambda x: f(x, axes, keep), keepdims=int(keep), axes=axes)
case("ReduceProdZeros", "ReduceProd", 13, [torch.tensor([[0.0, 2.0], [0.0, 3.0], [1.0, 4.0]])], lambda x: x.prod(0), axes=(0,), keepdims=0)
case("ReduceMaxTies", "ReduceMax", 13, [torch.tensor([[1.0, 3.0], [3.0, 3.0]])], lambda x: torch.amax(x, (0, 1)), axes=(0, 1), keepdims=0)
case("ReduceNothing", "ReduceSumSquare", 18, [randn(2, 3), None], lambda x: x.square(), noop_with_empty_axes=1)
for exclusive in (0, 1):
    for reverse in (0, 1):
        def shifted(x, g, start):
            y = g(x.flip(1) if reverse else x, 1)
            if exclusive:
                y = torch.cat([torch.full_like(y[:, :1], start), y[:, :-1]], 1)
            return y.flip(1) if reverse else y
        case(f"CumSum{exclusive}{reverse}", "CumSum", 14, [randn(2, 4, 2), const(1)], lambda x, _: shifted(x, torch.cumsum, 0.0),
             exclusive=exclusive, reverse=reverse)
        case(f"CumProd{exclusive}{reverse}", "CumProd", 26, [torch.tensor([[1.5, 0.0, -2.0, 3.0], [0.0, 2.0, 0.0, 1.0], [2.0, -1.0, 0.5, 4.0]]), const(-1)],
             lambda x, _: shifted(x, torch.cumprod, 1.0), exclusive=exclusive, reverse=reverse)

# --- Places ---------------------------------------------------------------------------------------------------------
begin("index")
for largest in (True, False):
    for axis in (0, -1):
        case(f"TopK{int(largest)}{axis}", "TopK", 11, [distinct(4, 5), const([3])],
             lambda x, _: tuple(torch.topk(x, 3, axis, largest)), axis=axis, largest=int(largest))
case("GatherMatrix", "Gather", 13, [randn(5, 3), const([[0, -1, 2], [2, 2, 4]])], lambda x, i: x[i])
case("GatherAxis", "Gather", 13, [randn(2, 4, 3), const([[3, -4], [1, 1]])], lambda x, i: x[:, i], axis=1)
case("GatherScalar", "Gather", 13, [randn(2, 4, 3), const(-2)], lambda x, i: x[:, :, i], axis=-1)
case("Embedding", "Gather", 13, [randn(7, 3), torch.tensor([[1, 6, 1], [0, 3, 3]])], lambda w, i: F.embedding(i, w))
case("GatherElementsNegative", "GatherElements", 13, [randn(3, 2, 2), const([[[0, -1], [2, 1]]])],
     lambda x, i: torch.gather(x, 0, i % 3), axis=0)
case("GatherND", "GatherND", 13, [randn(2, 3, 4), const([[0, 1], [1, -1], [1, 2]])], lambda x, i: x[i[:, 0], i[:, 1]])
case("GatherNDBatch", "GatherND", 13, [randn(2, 3, 4), const([[1], [2]])], lambda x, i: x[torch.arange(2), i[:, 0]], batch_dims=1)
for how, torch_how in [("add", "sum"), ("mul", "prod"), ("min", "amin"), ("max", "amax")]:
    case("ScatterElements_" + how, "ScatterElements", 18, [distinct(4, 3), const([[0, 3, 1], [0, 2, 1]]), distinct(2, 3) + 0.03125],
         lambda x, i, u: torch.scatter_reduce(x, 0, i, u, torch_how), axis=0, reduction=how)
    case("ScatterElementsTies_" + how, "ScatterElements", 18,
         [torch.tensor([[1.0, 2.0, 0.0, 3.0], [1.0, 2.0, 3.0, 4.0]]), const([[0, 3, 3], [1, 1, 2]]), torch.tensor([[1.0, 3.0, 3.0], [2.0, 5.0, 3.0]])],
         lambda x, i, u: torch.scatter_reduce(x, 1, i, u, torch_how), axis=-1, reduction=how)

    def scatter_nd(x, i, u):
        rows = x.reshape(8, 3)
        at = (i[:, 0] * 4 + i[:, 1])[:, None].expand(-1, 3)
        return torch.scatter_reduce(rows, 0, at, u, torch_how).reshape(2, 4, 3)
    case("ScatterND_" + how, "ScatterND", 18, [distinct(2, 4, 3), const([[0, 1], [1, 3], [0, 1]]), distinct(3, 3) + 0.03125],
         scatter_nd, reduction=how)
case("ScatterElements", "ScatterElements", 13, [randn(3, 4), const([[1, -1], [0, 2], [3, 1]]), randn(3, 2)],
     lambda x, i, u: torch.scatter(x, 1, i % 4, u), axis=1)
case("ScatterND", "ScatterND", 13, [randn(4, 3), const([[2], [-4]]), randn(2, 3)], lambda x, i, u: x.index_put((i[:, 0],), u))
for opset, blocks in [(11, 2), (13, 3)]:
    x = randn(1, 2 * blocks * blocks, 2, 3)
    case(f"DepthToSpaceCRD{blocks}", "DepthToSpace", opset, [x], lambda x: F.pixel_shuffle(x, blocks), blocksize=blocks, mode="CRD")

    def dcr(x):
        n, c, h, w = x.shape
        y = x.reshape(n, blocks, blocks, c // blocks**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return y.reshape(n, c // blocks**2, h * blocks, w * blocks)
    case(f"DepthToSpaceDCR{blocks}", "DepthToSpace", opset, [x], dcr, blocksize=blocks)


def space_to_depth(x, b=2):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


case("SpaceToDepth", "SpaceToDepth", 13, [randn(1, 3, 4, 2)], space_to_depth, blocksize=2)
for mode, torch_mode in [("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular"), ("constant", "constant")]:
    for name, shape, pads in [("1", (1, 2, 5), (2, 3)), ("2", (1, 2, 3, 4), (3, 1, 2, 1)), ("3", (1, 1, 3, 2, 4), (2, 1, 1, 0, 1, 2))]:
        rank = len(shape)
        lists = [0] * (2 * rank)
        for d in range(len(pads) // 2):
            lists[rank - 1 - d], lists[2 * rank - 1 - d] = pads[2 * d], pads[2 * d + 1]
        case(f"Pad_{mode}{name}", "Pad", 19, [randn(*shape), const(lists)], lambda x, _: F.pad(x, pads, torch_mode), mode=mode)
case("PadAxes", "Pad", 18, [randn(2, 3, 4), const([1, -1, 2, 1]), const(0.75), const([1, -1])],
     lambda x, *_: F.pad(x, (-1, 1, 1, 2), value=0.75))
case("SliceSteps", "Slice", 13, [randn(5, 6), const([-1, 1]), const([-100, 6]), const([0, 1]), const([-2, 3])],
     lambda x, *_: x.flip(0)[::2, 1::3])


def tensor_scatter(x, u, at=None, circular=False):
    y = x.clone()
    for b in range(x.shape[0]):
        for s in range(u.shape[-2]):
            k = s + (int(at[b]) if at is not None else 0)
            y[b, ..., k % x.shape[-2] if circular else k, :] = u[b, ..., s, :]
    return y


case("TensorScatter", "TensorScatter", 24, [randn(2, 3, 5, 2), randn(2, 3, 2, 2), torch.tensor([3, 0])], tensor_scatter)
case("TensorScatterFront", "TensorScatter", 24, [randn(2, 4, 3), randn(2, 3, 3)], tensor_scatter, axis=1)
case("TensorScatterCircular", "TensorScatter", 24, [randn(3, 4, 2), randn(3, 3, 2), const([3, 0, 6])],
     lambda x, u, i: tensor_scatter(x, u, i, True), mode="circular")
case("BitCast", "BitCast", 26, [torch.tensor([0.0, -0.0, 1.0, -2.5, math.inf, -math.inf, 2.0**-149])],
     lambda x: x.detach().float().view(torch.int32), to=6)
case("Trilu", "Trilu", 14, [randn(2, 4, 3), const(1)], lambda x, _: torch.triu(x, 1))
case("Compress", "Compress", 11, [randn(3, 4), const([True, False, True, True])], lambda x, c: x[:, c], axis=1)
case("Expand", "Expand", 13, [randn(3, 1), const([2, 1, 4])], lambda x, _: x.expand(2, 3, 4))
case("Tile", "Tile", 13, [randn(2, 3), const([3, 2])], lambda x, _: x.repeat(3, 2))
case("ReverseSequence", "ReverseSequence", 10, [randn(4, 3, 2), const([1, 4, 3])],
     lambda x, n: torch.stack([torch.cat([x[: n[b], b].flip(0), x[n[b]:, b]]) for b in range(3)], 1))
case("CenterCropPad", "CenterCropPad", 18, [randn(5, 3), const([2, 6])], lambda x, _: F.pad(x[1:3], (1, 2)))

# --- Einsum ---------------------------------------------------------------------------------------------------------
begin("einsum")
for equation, shapes in [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij->ji", [(2, 3)]), ("ij,ij->", [(2, 3), (2, 3)]), ("i,j->ij", [(3,), (2,)]),
    ("ii->i", [(3, 3)]), ("ii->", [(3, 3)]), ("bij,bjk->bik", [(2, 3, 2), (2, 2, 4)]), ("bhqd,bhkd->bhqk", [(1, 2, 3, 2), (1, 2, 4, 2)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 2), (3, 2, 4)]), ("i...->...", [(3, 2, 2)]), ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 4)]),
    ("bn,anm,bm->ba", [(2, 3), (4, 3, 2), (2, 2)]), ("ijk->jk", [(2, 3, 2)]), ("ij,kj", [(2, 3), (4, 3)]), ("ijj->i", [(2, 3, 3)]),
    ("i,i,i->i", [(3,), (3,), (3,)]), ("...,...->...", [(2, 3), (3,)]), ("ij,k->ijk", [(2, 2), (3,)]), (" i j , j k -> i k ", [(2, 2), (2, 2)]),
    ("iji,j->ij", [(2, 3, 2), (3,)]), ("bi...,bj...->b...ij", [(2, 2, 3), (2, 3, 3)]),
]:
    case(equation, "Einsum", 12, [randn(*s) for s in shapes], lambda *x: torch.einsum(equation, *x), equation=equation)

# --- Losses ---------------------------------------------------------------------------------------------------------
begin("loss")
for reduction in ("mean", "sum", "none"):
    for name, shape in [("", (5, 4)), ("1D", (2, 3, 4)), ("2D", (2, 4, 3, 2)), ("3D", (1, 3, 2, 2, 2))]:
        labels = torch.randint(shape[1], shape[:1] + shape[2:])
        labels.view(-1)[1] = 1
        weights = const(torch.tensor([0.5, 2.0, 1.25, 0.75][: shape[1]]))
        # PyTorch's second output does not exist: log_softmax.
        case(f"CrossEntropy{name}_{reduction}", "SoftmaxCrossEntropyLoss", 13, [randn(*shape), labels],
             lambda x, t: F.cross_entropy(x, t, reduction=reduction), reduction=reduction)
        case(f"CrossEntropyWeighted{name}_{reduction}", "SoftmaxCrossEntropyLoss", 13, [randn(*shape), labels, weights],
             lambda x, t, w: (F.cross_entropy(x, t, w, ignore_index=1, reduction=reduction), F.log_softmax(x, 1)), reduction=reduction, ignore_index=1)
        case(f"NLL{name}_{reduction}", "NegativeLogLikelihoodLoss", 13, [randn(*shape), labels],
             lambda x, t: F.nll_loss(x, t, ignore_index=1, reduction=reduction), reduction=reduction, ignore_index=1)
        case(f"NLLWeighted{name}_{reduction}", "NegativeLogLikelihoodLoss", 22, [randn(*shape), labels, weights],
             lambda x, t, w: F.nll_loss(x, t, w, reduction=reduction), reduction=reduction)
ignored = torch.tensor([1, -100, 3, -100])
case("IgnoredOutside", "SoftmaxCrossEntropyLoss", 13, [randn(4, 5), ignored], lambda x, t: F.cross_entropy(x, t), ignore_index=-100)

folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)
for name, cases in families.items():
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), name
    text = '{"torch": "%s", "cases": [\n' % torch.__version__.split("+")[0]
    text += ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n"
    with open(folder / (name + ".json.gz"), "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(text.encode())
    print(name, len(cases), "cases")
