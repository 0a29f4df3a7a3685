"""Hold real networks against PyTorch and onnxruntime. `make interop` runs it.

    python models/networks.py [--program bin/interop] [--keep DIR] [--markdown] [NAME ...]

Exports the networks of zoo.py by PyTorch's exporters, TorchScript's in its modes EVAL, PRESERVE and TRAINING, and torch.export's
of the module in eval() and in train() mode, and has the program models/interop compute, train and write them. The table
shows the largest differences, which must be below LIMIT:

    outputs   in inference mode, before training, from onnxruntime's (from the module's where the file is in training mode),
              as a part of max(1, |output|)
    loss      in double precision and training mode without dropout, from the module's in double precision, as a part of it
    gradient  the same; an element of a gradient as a part of the largest of its tensor, or of FLOOR of the largest of all
    float32   the gradient in single precision, as a part of its length, or of FLOOR of the longest: for information
    SGD       the change of the weights in three steps of SGD in single precision, from that of torch.optim.SGD in double
              precision, as a part of its length, apart from rounding the weights at each step
    torch32   the same of PyTorch in single precision. Fresh networks of many BatchNorms and ReLUs amplify rounding: a ReLU
              that switches moves all gradients below it. SGD may be SLACK times as far off as this
    written   outputs of the trained file, from onnxruntime's of that file, which onnx.checker passes

Which initializer is which parameter is found out by the numbers: the parameters are all different. Versions: torch 2.15.0,
torchvision 0.29.2, transformers 5.24.0, onnx 1.23.2, onnxruntime 1.32.0, onnxscript 0.7.2. Exit status 1 if anything disagreed.
"""
import argparse
import contextlib
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn
from torch.fx.experimental import optimization

import zoo

LIMIT = {"outputs": 1e-4, "loss": 1e-4, "gradient": 1e-4, "SGD": 1e-3, "written": 1e-4}
COLUMNS = ("outputs", "loss", "gradient", "float32", "SGD", "torch32", "written")
FLOOR, SLACK = 1e-4, 10
STEPS = 3
OPSET = 17
EXPORTS = ("torchscript eval", "torchscript preserve", "torchscript training", "dynamo eval", "dynamo training")


class Refused(Exception):
    """The exporter cannot write the module, or writes it with dropout that draws its own numbers."""


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
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for n in model.graph.node:
        if n.op_type == "Constant":
            tensors |= {n.output[0]: numpy_helper.to_array(a.t) for a in n.attribute if a.name == "value"}
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


def session(path):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_runtime(path, case):
    s = session(path)
    names = [i.name for i in s.get_inputs()]
    return s.run(None, {n: case.inputs[n].numpy() for n in names})


def tensor_file(path, array, name=""):
    path.write_bytes(numpy_helper.from_array(np.ascontiguousarray(array), name).SerializeToString())


def read_outputs(dir, prefix):
    arrays = []
    while (path := dir / f"{prefix}_{len(arrays)}.pb").exists():
        arrays.append(numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())))
    return arrays


def difference(got, want):
    """As a part of max(1, |want|)."""
    if got.shape != want.shape:
        raise RuntimeError(f"an output of shape {got.shape}, not {want.shape}")
    return float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want)), initial=0))


def check(case, how, program, dir):
    """The numbers of one row of the table."""
    path = dir / "model.onnx"
    try:
        export(case, how, path)
    except Exception as e:
        raise Refused(f"PyTorch does not export it: {str(e).splitlines()[0][:100]}") from e
    if any(n.op_type.startswith("Random") or n.op_type == "Bernoulli" for n in onnx.load(path).graph.node):
        raise Refused("not compared: its dropout is made of random numbers, which no two programs share")
    inputs = dir / "case"
    inputs.mkdir()
    for i, x in enumerate(case.inputs.values()):
        tensor_file(inputs / f"input_{i}.pb", x.numpy())
    tensor_file(inputs / "target_0.pb", case.target.numpy())
    out = dir / "out"
    out.mkdir()
    return compare(case, path, inputs, out, program, how.endswith("training"))


def compare(case, path, inputs, out, program, training):
    done = subprocess.run([program, "-loss", case.loss, "-lr", str(case.rate), "-steps", str(STEPS), path, inputs, out],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit {done.returncode}")
    result, model, row = json.loads((out / "result.json").read_text()), onnx.load(path), {}

    names = [p["name"] for p in result["params"]]
    module = untie(reference(case, model), names)
    found, tensors = match(module, model, names)
    adopt(found, tensors)

    want = [evaluate(case, module.eval()).detach().numpy()] if training else run_runtime(path, case)
    row["outputs"] = max(difference(g, w) for g, w in zip(read_outputs(out, "before"), want, strict=True))

    start = {n: f(lambda p: p.detach().numpy().copy()) for n, f in found.items()}
    single = copy.deepcopy(module).float()
    loss, grads = train(case, module, found)
    row["loss"] = abs(result["loss64"] - loss) / abs(loss)
    row["gradient"] = gradient64(out, result["params"], grads)
    row["float32"] = gradient32(out, result["params"], grads)
    train(case, single, {})
    trained = {t.name: numpy_helper.to_array(t) for t in onnx.load(out / "trained.onnx").graph.initializer}
    moved = {n: f(lambda p: p.detach().numpy()) - start[n] for n, f in found.items() if n in trained}
    theirs = dict(zip(map(id, module.parameters()), single.parameters(), strict=True))
    row["SGD"] = distance(moved, start, trained)
    row["torch32"] = distance(moved, start, {n: found[n](lambda p: theirs[id(p)].detach().numpy()) for n in moved})
    row["written"] = max(difference(g, w) for g, w in zip(read_outputs(out, "after"), run_runtime(out / "trained.onnx", case), strict=True))
    return {c: float(row[c]) for c in COLUMNS}


def train(case, module, found):
    """STEPS of SGD; the loss and the gradient of the first."""
    sgd, first = torch.optim.SGD(module.parameters(), case.rate), None
    for _ in range(STEPS):
        sgd.zero_grad()
        loss = case.value(evaluate(case, module.train()))
        loss.backward()
        if first is None:
            zero = lambda p: np.zeros(p.shape) if p.grad is None else p.grad.numpy()
            first = loss.item(), {n: f(zero).copy() for n, f in found.items()}
        sgd.step()
    return first


def distance(moved, start, trained):
    """Of the way from start to trained from that of `moved`, as a part of its length, apart from rounding at each step."""
    off = sum(max(0, np.linalg.norm(trained[n] - start[n] - d) - STEPS * 2**-24 * np.linalg.norm(trained[n])) ** 2 for n, d in moved.items())
    return (off / sum(np.linalg.norm(d) ** 2 for d in moved.values())) ** 0.5


def read_gradients(path, dtype, params):
    flat, at = np.fromfile(path, dtype), 0
    for p in params:
        n = int(np.prod(p["shape"]))
        yield p["name"], flat[at:at + n].reshape(p["shape"])
        at += n
    assert at == len(flat)


def gradient64(out, params, want):
    largest = max(np.max(np.abs(g)) for g in want.values())
    return max(np.max(np.abs(g - want[n])) / max(np.max(np.abs(want[n])), FLOOR * largest)
               for n, g in read_gradients(out / "gradient64.bin", "<f8", params))


def gradient32(out, params, want):
    longest = max(np.linalg.norm(g) for g in want.values())
    return max(np.linalg.norm(g - want[n]) / max(np.linalg.norm(want[n]), FLOOR * longest)
               for n, g in read_gradients(out / "gradient32.bin", "<f4", params))


def cells(row):
    limit = LIMIT | {"SGD": max(LIMIT["SGD"], SLACK * row["torch32"])}
    return [f"{row[c]:.0e}" + ("!" if not row[c] <= limit.get(c, np.inf) else "") for c in COLUMNS]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--program", type=pathlib.Path, default="bin/interop")
    args.add_argument("--keep", type=pathlib.Path, help="leave the files in this new directory")
    args.add_argument("--exports", default=",".join(EXPORTS))
    args.add_argument("--debug", action="store_true")
    args.add_argument("names", nargs="*")
    args = args.parse_args()
    torch.set_num_threads(2)
    failed = 0
    print("| network | export | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (2 + len(COLUMNS)), flush=True)
    for name, entry in zoo.full.items():
        if args.names and name not in args.names:
            continue
        for how in args.exports.split(","):
            with tempfile.TemporaryDirectory() as dir:
                if args.keep:
                    dir = args.keep / f"{name} {how}".replace(" ", "_")
                    dir.mkdir(parents=True)
                try:
                    row = cells(check(zoo.make(entry), how, args.program.resolve(), pathlib.Path(dir)))
                    failed += any("!" in c for c in row)
                except Refused as e:
                    row = [str(e)]
                except Exception as e:
                    if args.debug:
                        raise
                    row, failed = [f"{type(e).__name__}: {e}".splitlines()[0][:400]], failed + 1
            print(f"| {name} | {how} | " + " | ".join(row) + " |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
