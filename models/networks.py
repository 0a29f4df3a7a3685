"""Hold real networks against PyTorch and onnxruntime. `make interop` runs it.

    python models/networks.py [--program bin/interop] [--keep DIR] [NAME ...]

Exports the networks of zoo.py by PyTorch's exporters, TorchScript's in its modes EVAL, PRESERVE and TRAINING, and torch.export's
of the module in eval() and in train() mode. The columns of the table are explained in referee.py.

Which initializer is which parameter is found out by the numbers: the parameters are all different. Versions: torch 2.15.0,
torchvision 0.29.2, transformers 5.24.0, onnxscript 0.7.2. Exit status 1 if anything disagreed.
"""
import contextlib
import copy
import os
import sys
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.fx.experimental import optimization

import referee
import zoo
from referee import Refused

OPSET = 17
EXPORTS = ("torchscript eval", "torchscript preserve", "torchscript training", "dynamo eval", "dynamo training")


@contextlib.contextmanager
def quiet():
    """Without the standard output, on which the exporter prints the graph when it gives up."""
    sys.stdout.flush()
    saved, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)


def export(case, how, path):
    exporter, mode = how.split()
    module = copy.deepcopy(case.module).train(mode == "training")
    names, inputs = list(case.inputs), tuple(case.inputs.values())
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            torch.onnx.export(module, inputs, path, dynamo=False, opset_version=OPSET, input_names=names, output_names=["output"],
                              training=getattr(torch.onnx.TrainingMode, mode.upper()), do_constant_folding=mode == "eval",
                              dynamic_axes={n: {0: "batch"} for n in names + ["output"]})
        else:
            batch = torch.export.Dim("batch")
            dynamic = tuple({0: batch} for _ in names) if inputs[0].shape[0] > 1 else None
            torch.onnx.export(module, inputs, path, dynamo=True, external_data=False, verbose=False, input_names=names,
                              output_names=["output"], dynamic_shapes=dynamic)


def without_dropout(module):
    for m in module.modules():
        for name in ("p", "dropout", "dropout_prob", "resid_pdrop", "attn_pdrop"):
            if isinstance(getattr(m, name, None), float):
                setattr(m, name, 0.0)
    return module


def fused(module):
    """The module with each BatchNorm that follows a convolution or Linear folded into it, as exports for inference have."""
    return optimization.fuse(module.eval())


# Gates of PyTorch's order i f g o and r z n in ONNX's, i o f c and z r h.
GATES = {nn.LSTM: [0, 3, 1, 2], nn.GRU: [1, 0, 2], nn.RNN: [0]}


def candidates(module):
    """Functions from a way to take a parameter to what an export may hold of it."""
    for p in module.parameters():
        yield lambda take, p=p: take(p)
        if p.ndim == 2:
            yield lambda take, p=p: take(p).T
            yield lambda take, p=p: take(p)[None]  # positions, looked up by the exporter
    for m in module.modules():
        order = GATES.get(type(m))
        if order is None:
            continue
        def gates(a, order=order):
            return np.concatenate([np.split(a, len(order))[k] for k in order])
        for layer in range(m.num_layers):
            ends = [f"_l{layer}" + e for e in ("", "_reverse")[:1 + m.bidirectional]]
            for group in (["weight_ih"], ["weight_hh"], ["bias_ih", "bias_hh"]):
                rows = [[getattr(m, n + e) for n in group] for e in ends]
                yield lambda take, rows=rows, gates=gates: np.stack([np.concatenate([gates(take(p)) for p in r]) for r in rows])


def match(module, model, names, whole=True):
    """For each named tensor of the file, the function that makes it of the parameters; whole: all must be used."""
    tensors = referee.tensors(model)
    take = lambda p: p.detach().numpy()
    known = [(f, f(take)) for f in candidates(module)]
    found, used = {}, []
    for name in names:
        a = tensors[name]
        fit = [f for f, v in known if v.shape == a.shape and np.allclose(v, a, rtol=1e-4, atol=1e-5)]
        if not fit:
            raise RuntimeError(f"{name} {list(a.shape)} is none of the module's parameters")
        found[name] = next((f for f in fit if not any(touches(f, p) for p in used)), fit[0])
        used += [p for p in module.parameters() if touches(found[name], p)]
    for p in module.parameters() if whole else ():
        if not any(touches(f, p) for f in found.values()):
            raise RuntimeError(f"a parameter of shape {list(p.shape)} is not among those that are trained")
    return found, tensors


def touches(f, p):
    used = []
    f(lambda q: used.append(q is p) or q.detach().numpy())
    return any(used)


def untie(module, names):
    """Give modules that share a parameter their own, if the file holds more tensors than the module: an exporter that
    transposes a matrix in one place makes two of it."""
    if len(names) <= len(list(module.parameters())):
        return module
    seen = set()
    for m in module.modules():
        for name, p in list(m.named_parameters(recurse=False)):
            if p in seen:
                setattr(m, name, nn.Parameter(p.detach().clone()))
            seen.add(p)
    return module


def adopt(found, tensors):
    """Give parameters that were folded the file's numbers, which were rounded to single precision."""
    for name, f in found.items():
        view = f(lambda p: p.detach().numpy())
        if view.base is not None or view.shape == ():  # of one parameter
            view[...] = tensors[name]


def reference(case, model):
    """The module in double precision and without dropout, in the form that the file has."""
    module = without_dropout(copy.deepcopy(case.module))
    norms = sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())
    nodes = [n.op_type for n in model.graph.node] + [n.op_type for f in model.functions for n in f.node]
    if norms > nodes.count("BatchNormalization"):
        module = fused(module).requires_grad_(True)
    # Exporting a module in train() mode runs it, which moves its running statistics.
    buffers = dict(module.named_buffers())
    for t in model.graph.initializer:
        if t.name in buffers and "running" in t.name:
            buffers[t.name].copy_(torch.from_numpy(numpy_helper.to_array(t).copy()))
    return module.double()


def evaluate(case, module):
    dtype = next(module.parameters()).dtype
    inputs = [x.to(dtype) if x.is_floating_point() else x for x in case.inputs.values()]
    return module(*inputs)


def check(case, how, program, dir):
    """The numbers of one row of the table."""
    path = dir / "model.onnx"
    try:
        export(case, how, path)
    except Exception as e:
        raise Refused(f"PyTorch does not export it: {str(e).splitlines()[0][:100]}") from e
    model = onnx.load(path)
    if any(n.op_type.startswith("Random") or n.op_type == "Bernoulli" for n in model.graph.node):
        raise Refused("not compared: its dropout is made of random numbers, which no two programs share")
    before = None
    if how.endswith("training"):
        before = [evaluate(case, reference(case, model).eval()).detach().numpy()]
    return referee.compare(program, path, dir, arrays(case), case.target.numpy(), lambda names: trained(case, model, names), case.loss, case.rate,
                           before=before)


def arrays(case):
    return {n: x.numpy() for n, x in case.inputs.items()}


def trained(case, model, names):
    """The referee.Reference of a module."""
    module = untie(reference(case, model), names)
    found, tensors = match(module, model, names)
    adopt(found, tensors)
    weights = lambda: {n: f(lambda p: p.detach().numpy().copy()) for n, f in found.items()}
    start, single = weights(), copy.deepcopy(module).float()
    loss, gradients = train(case, module, found)
    train(case, single, {})
    theirs = dict(zip(map(id, module.parameters()), single.parameters(), strict=True))
    return referee.Reference(loss, gradients, start, weights(), {n: f(lambda p: theirs[id(p)].detach().numpy()) for n, f in found.items()})


def train(case, module, found):
    """STEPS of SGD; the loss and the gradient of the first."""
    sgd, first = torch.optim.SGD(module.parameters(), case.rate), None
    for _ in range(referee.STEPS):
        sgd.zero_grad()
        loss = case.value(evaluate(case, module.train()))
        loss.backward()
        if first is None:
            zero = lambda p: np.zeros(p.shape) if p.grad is None else p.grad.numpy()
            first = loss.item(), {n: f(zero).copy() for n, f in found.items()}
        sgd.step()
    return first


def main():
    args = referee.arguments(__doc__)
    args.add_argument("--exports", default=",".join(EXPORTS))
    args = args.parse_args()
    torch.set_num_threads(2)
    referee.table(args, ((name, how, lambda program, dir: check(zoo.make(entry), how, program, dir))
                         for name, entry in zoo.full.items() for how in args.exports.split(",")))


if __name__ == "__main__":
    main()
