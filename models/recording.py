"""Write runner/testdata/networks: files of exported networks, with the loss, the gradients and the outputs of the program that they
come from, in double precision. fixtures_networks.py, keras_networks.py and sklearn_networks.py do.

NAME.onnx.gz is the file. NAME.json.gz: "inputs" (in the file's order) and "target", each with "shape" and "data"; "loss" and its
name "kind", in training mode without dropout, of the output "trained", or the first; "gradients" by initializer (attributes of
ai.onnx.ml go by the node's name and the attribute's), with "shape", "l2", "sum" and "dot", the sum of g[i]*u[i] with u of
fixtures.py's formula for the name; "output", the same in inference mode. Initializers that are not in "gradients" are no parameters.
"""
import gzip
import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).parent.parent / "runner" / "testdata" / "networks"
M64 = (1 << 64) - 1


def fnv1a64(name):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = (h ^ b) * 0x100000001B3 & M64
    return h


def words(name, count):
    s = np.uint64(fnv1a64(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    s = (s ^ s >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    s = (s ^ s >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return s ^ s >> np.uint64(31)


def summary(name, g):
    u = (words(name, g.size) >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    return {"shape": list(g.shape), "l2": float(np.linalg.norm(g)), "sum": float(g.sum()), "dot": float(g.flatten() @ u)}


def plain(x):
    return {"shape": list(x.shape), "data": x.flatten().tolist()}


def strip(model):
    """Without the exporting machine's paths."""
    for part in [*model.graph.node, *model.functions]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def write(name, model, inputs, target, kind, loss, gradients, output, trained=""):
    expected = {"inputs": [plain(x) for x in inputs], "target": plain(target), "kind": kind, "loss": loss, "output": plain(output),
                "gradients": {n: summary(n, g) for n, g in gradients.items()}}
    if trained:
        expected["trained"] = trained
    OUT.mkdir(parents=True, exist_ok=True)
    data = gzip.compress(strip(model).SerializeToString(), 9, mtime=0)
    (OUT / f"{name}.onnx.gz").write_bytes(data)
    (OUT / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(expected).encode(), 9, mtime=0))
    print(f"{name:32} {len(data):7} bytes, loss {loss:.6f}, {len(gradients)} gradients", flush=True)
