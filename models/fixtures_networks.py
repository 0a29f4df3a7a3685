"""Record runner/testdata/networks: narrow versions of the networks of zoo.py as PyTorch's exporters write them, with the loss,
the gradients and the outputs of the modules in double precision.

    python models/fixtures_networks.py

NAME.onnx.gz is the file. NAME.json.gz: "inputs" (in the file's order) and "target", each with "shape" and "data"; "loss" and its
name "kind", in training mode without dropout; "gradients" by initializer, with "shape", "l2", "sum" and "dot", the sum of
g[i]*u[i] with u of models/fixtures.py's formula for the initializer's name; "output" in inference mode. Initializers that
are not in "gradients" are no parameters. Versions: see networks.py.
"""
import gzip
import json
import pathlib
import tempfile

import numpy as np
import onnx
import torch
from onnx import numpy_helper

import fixtures
import networks
import zoo

OUT = pathlib.Path(__file__).parent.parent / "runner" / "testdata" / "networks"
EXPORTS = ("torchscript eval", "torchscript training", "dynamo eval")


def strip(model):
    """Without the exporting machine's paths."""
    for part in [*model.graph.node, *model.functions]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def parameters(module, model):
    """Functions that make initializers of parameters, by initializer; each parameter must be in one."""
    found = {}
    for t in model.graph.initializer:
        try:
            found |= networks.match(module, model, [t.name], whole=False)[0]
        except RuntimeError:
            pass
    return networks.match(module, model, list(found))


def summary(name, g):
    u = (fixtures.words(name, g.size) >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    return {"shape": list(g.shape), "l2": float(np.linalg.norm(g)), "sum": float(g.sum()), "dot": float(g.flatten() @ u)}


def plain(x):
    return {"shape": list(x.shape), "data": x.flatten().tolist()}


def record(name, case, how):
    with tempfile.TemporaryDirectory() as dir:
        path = pathlib.Path(dir) / "model.onnx"
        networks.export(case, how, path)
        model = strip(onnx.load(path))
        onnx.save(model, path)
        want = None if how.endswith("training") else networks.run_runtime(path, case)[0]
    module = networks.reference(case, model)
    names = [t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) > 1]
    module = networks.untie(module, parameters(module, model)[0])
    found, tensors = parameters(module, model)
    networks.adopt(found, tensors)
    output = networks.evaluate(case, module.eval()).detach().numpy()
    if want is not None:
        np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)
    loss = case.value(networks.evaluate(case, module.train()))
    loss.backward()
    zero = lambda p: np.zeros(p.shape) if p.grad is None else p.grad.numpy()
    order = [i.name for i in model.graph.input]
    expected = {"inputs": [plain(case.inputs[n]) for n in order], "target": plain(case.target), "kind": case.loss, "loss": loss.item(),
                "output": plain(output), "gradients": {n: summary(n, f(zero)) for n, f in found.items()}}
    OUT.mkdir(parents=True, exist_ok=True)
    stem = f"{name}_{how.replace(' ', '_')}"
    data = gzip.compress(model.SerializeToString(), 9, mtime=0)
    (OUT / f"{stem}.onnx.gz").write_bytes(data)
    (OUT / f"{stem}.json.gz").write_bytes(gzip.compress(json.dumps(expected).encode(), 9, mtime=0))
    print(f"{stem:32} {len(data):7} bytes, loss {loss.item():.6f}, {len(found)} gradients of {len(names)} tensors", flush=True)


def main():
    torch.set_num_threads(1)
    for name, entry in zoo.small.items():
        for how in EXPORTS:
            record(name, zoo.make(entry), how)


if __name__ == "__main__":
    main()
