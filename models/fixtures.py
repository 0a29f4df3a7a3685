"""Record onnxload/testdata: ONNX files of the three networks, and the loss, gradients and outputs that PyTorch gives.

    python models/fixtures.py               rewrites onnxload/testdata/*.onnx.gz and *.json

Versions used for the committed files: Python 3, torch 2.15.0, onnx 1.23.2, onnxruntime 1.32.0, onnxscript 0.7.2.
Rerunning gives the same bytes with the same versions.

Nothing large is stored. The .onnx.gz holds zeros for weights, and the .json has a "fill" entry for each of them; the
reader (internal/fixture) computes element i of the tensor of that name as

    float32(mid + bound * u),   u = (z >> 40) / 2^23 - 1  in [-1, 1)
    z = splitmix64's output i:  s = fnv1a64(name) + (i+1) * 0x9E3779B97F4A7C15  (mod 2^64)
                                s = (s ^ s>>30) * 0xBF58476D1CE4E5B9;  s = (s ^ s>>27) * 0x94D049BB133111EB;  z = s ^ s>>31

with mid + bound*u in float64. The input is made in the same way from the string "key" of its entry. That key is
"input 0", "input 1", ...: the first for which no ReLU's operand and no MaxPool's lead over the runner-up is below MARGIN.
A float32 network sees zeros at other places than a float64 one if they are nearer than its rounding, and each such
place may change a gradient's l2 by 1e-4 (seen). MARGIN is about five times float32's rms error in these networks.

The numbers are of an interpreter of the ONNX graph in torch float64, below, which knows nothing of how the file was
made; for the unfolded files the original torch module must agree, and onnxruntime must agree on the inference outputs.

  train   batch statistics in every BatchNormalization, no dropout, loss = mean cross-entropy
            gradients   by initializer; one that is tied through Identity has the sum over its uses
            untied      only in files with Identity: each Identity's output taken as a parameter of its own
            statistics  of the batch, by the names of the BatchNormalization's mean and variance inputs; biased variance
  infer   running statistics, no dropout

Sums and l2 norms are rounded to 1e-11, below which lies the rounding noise of float64 here.
"""
import gzip
import json
import pathlib
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import numpy_helper

import export
from recording import words

OUT = pathlib.Path(__file__).parent.parent / "onnxload" / "testdata"
BATCH = {"mnistfc": 8, "mnistconv": 8, "allcnn": 2}  # allcnn has a million ReLUs in a batch of 3
CLASSES = 10
MARGIN = 4e-6


def values(entry):
    u = (words(entry.get("key", entry["name"]), int(np.prod(entry["shape"]))) >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    return (entry["mid"] + entry["bound"] * u).astype(np.float32).reshape(entry["shape"])


def is_weight(t):
    return t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 0


def fill_list(graph):
    """What to fill each weight with. A tensor that BatchNorms use in several roles gets values that suit them all: 1 is
    good for a scale and a variance, 0 for a bias and a mean. Weights get He's bound so that ReLU networks keep variance."""
    source = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity"}
    roles = {}
    for n in graph.node:
        if n.op_type == "BatchNormalization":
            for role, name in zip(("scale", "bias", "mean", "var"), n.input[1:]):
                roles.setdefault(source.get(name, name), set()).add(role)
    fill = []
    for t in graph.initializer:
        if not is_weight(t):
            continue
        role, shape = roles.get(t.name, set()), list(t.dims)
        mid = 1.0 if role & {"scale", "var"} else 0.0
        bound = 0.5 if role == {"var"} else 0.2 if mid else 0.1
        if len(shape) > 1:
            bound = round(float(np.sqrt(6 / np.prod(shape[1:]))), 6)
        fill.append({"name": t.name, "shape": shape, "mid": mid, "bound": bound})
    return fill


class Run:
    """One evaluation of an ONNX graph in torch. `values` maps names to tensors; `stats` collects batch statistics;
    `margin` is the least distance of a ReLU or MaxPool from switching."""

    def __init__(self, graph, tensors, training):
        self.values, self.training, self.stats, self.margin = dict(tensors), training, [], float("inf")
        for node in graph.node:
            a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
            x = [self.values[name] for name in node.input]
            # Only Identity may be overridden by a given tensor of the same name: that is how ties are cut.
            if node.op_type == "Identity" and node.output[0] in tensors:
                continue
            self.values[node.output[0]] = getattr(self, node.op_type)(node, a, *x)

    def Identity(self, node, a, x):
        return x

    def Constant(self, node, a):
        return torch.from_numpy(numpy_helper.to_array(a["value"]).copy())

    def Dropout(self, node, a, x, *_):
        return x

    def Conv(self, node, a, x, w, b):
        assert a["group"] == 1 and a["dilations"] == [1, 1] and a["pads"][:2] == a["pads"][2:]
        return F.conv2d(x, w, b, stride=a["strides"], padding=a["pads"][:2])

    def Gemm(self, node, a, x, w, b):
        assert a.get("transB") == 1 and not a.get("transA") and a.get("alpha", 1) == a.get("beta", 1) == 1
        return x @ w.T + b

    def BatchNormalization(self, node, a, x, scale, bias, mean, var):
        view = [1, -1] + [1] * (x.ndim - 2)
        if self.training:
            axes = [0, *range(2, x.ndim)]
            mean = x.mean(axes)
            var = ((x - mean.view(view)) ** 2).mean(axes)
            self.stats.append((node.input[3], node.input[4], mean.detach(), var.detach(), x.numel() // x.shape[1]))
        # torch's default epsilon; the file holds its float32 rounding
        assert abs(a["epsilon"] - 1e-5) < 1e-12
        return (x - mean.view(view)) / torch.sqrt(var.view(view) + a["epsilon"]) * scale.view(view) + bias.view(view)

    def Relu(self, node, a, x):
        self.margin = min(self.margin, x.detach().abs().min().item())
        return F.relu(x)

    def MaxPool(self, node, a, x):
        assert not any(a.get("pads", [])) and not a.get("ceil_mode") and a["strides"] == a["kernel_shape"]
        h, w = a["kernel_shape"]
        windows = x.detach().unfold(2, h, h).unfold(3, w, w).flatten(4)
        first, second = windows.topk(2).values.unbind(-1)
        # A window of zeros has no slope through the ReLU before it, whichever place wins.
        self.margin = min(self.margin, (first - second)[first > 0].min().item())
        return F.max_pool2d(x, (h, w))

    def AveragePool(self, node, a, x):
        assert not any(a.get("pads", [])) and not a.get("ceil_mode") and a["strides"] == a["kernel_shape"]
        return F.avg_pool2d(x, a["kernel_shape"])

    def Flatten(self, node, a, x):
        assert a["axis"] == 1
        return x.flatten(1)

    def Reshape(self, node, a, x, shape):
        return x.reshape([int(n) for n in shape])


def train(graph, arrays, x, labels, dtype, untie=False):
    """Loss, outputs, {name: gradient} and batch statistics. With untie, Identity outputs are parameters too."""
    tensors = {name: torch.tensor(v, dtype=dtype if v.dtype.kind == "f" else None) for name, v in arrays.items()}
    if untie:
        tensors |= {n.output[0]: tensors[n.input[0]].clone() for n in graph.node if n.op_type == "Identity"}
    for t in tensors.values():
        t.requires_grad_(t.dtype == dtype)
    run = Run(graph, tensors | {"input": torch.tensor(x, dtype=dtype)}, training=True)
    out = run.values[graph.output[0].name]
    loss = F.cross_entropy(out, torch.tensor(labels))
    loss.backward()
    grads = {name: t.grad for name, t in tensors.items() if t.grad is not None}
    return loss.item(), out.detach(), grads, run.stats


def forward(graph, arrays, x, training):
    tensors = {name: torch.tensor(v, dtype=torch.float64 if v.dtype.kind == "f" else None) for name, v in arrays.items()}
    with torch.no_grad():
        return Run(graph, tensors | {"input": torch.tensor(x, dtype=torch.float64)}, training)


def choose_input(graph, arrays, shape):
    """The fill entry of the first input that keeps MARGIN, and its values."""
    for i in range(200):
        entry = {"name": "input", "key": f"input {i}", "shape": shape, "mid": 0.0, "bound": 1.732051}
        x = values(entry)
        if forward(graph, arrays, x, training=True).margin >= MARGIN:
            return entry, x
    raise SystemExit("no input keeps the margin")


def rounded(v):
    return round(float(v), 11) + 0.0  # + 0.0: no "-0.0"


def summary(t):
    return {"shape": list(t.shape), "l2": rounded(torch.linalg.vector_norm(t)), "sum": rounded(t.sum())}


def table(grads):
    return {name: summary(g) for name, g in grads.items()}


def record(name, data, module=None):
    """Write the pair of files of one export, after the cross-checks. module: the torch module it was made from, if the
    initializers are still its parameters."""
    model = onnx.load_from_string(data)
    graph = model.graph
    fill = fill_list(graph)
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer} | {f["name"]: values(f) for f in fill}
    batch = BATCH[name.split("_")[0]]
    shape = [batch] + [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim[1:]]
    source, x = choose_input(graph, arrays, shape)
    labels = [int(w % CLASSES) for w in words("labels", batch)]

    loss, out, grads, stats = train(graph, arrays, x, labels, torch.float64)
    inferred = forward(graph, arrays, x, training=False).values[graph.output[0].name]
    expected = {
        "model": name, "opset": model.opset_import[0].version, "input": source, "labels": labels, "fill": fill,
        "train": {"loss": rounded(loss), "output": [rounded(v) for v in out.flatten()], "gradients": table(grads),
                  "statistics": [{"mean_name": m, "var_name": v, "count": count, "mean": summary(mean), "var": summary(var)}
                                 for m, v, mean, var, count in stats]},
        "infer": {"loss": rounded(F.cross_entropy(inferred, torch.tensor(labels))), "output": [rounded(v) for v in inferred.flatten()]},
    }
    if any(n.op_type == "Identity" for n in graph.node):
        expected["train"]["untied"] = table(train(graph, arrays, x, labels, torch.float64, untie=True)[2])

    worst = check_float32(expected["train"], *train(graph, arrays, x, labels, torch.float32)[:3])
    if module is not None:
        check_module(module, arrays, grads, inferred, loss, x, labels)
    for t in graph.initializer:
        if is_weight(t):
            t.raw_data = arrays[t.name].tobytes()
    check_runtime(model, x, inferred)
    for t in graph.initializer:
        if is_weight(t):
            t.raw_data = bytes(len(t.raw_data))
    (OUT / f"{name}.onnx.gz").write_bytes(gzip.compress(model.SerializeToString(), 9, mtime=0))
    (OUT / f"{name}.json").write_text(dump(expected))
    print(f"{name:28} {source['key']:9} loss {loss:.6f}  {len(grads)} gradients, l2 {min(g.norm() for g in grads.values()):.1e} to "
          f"{max(g.norm() for g in grads.values()):.1e}; float32 is off by {worst:.1e} in l2")


def check_float32(want, loss, out, grads):
    """float32 must meet the tolerance that the Go tests use, or the network would be a bad fixture. Returns the worst
    relative difference of an l2."""
    assert abs(loss - want["loss"]) <= 3e-6 * want["loss"], (loss, want["loss"])
    floor = 1e-6 * max(g["l2"] for g in want["gradients"].values())
    worst = 0
    for name, g in want["gradients"].items():
        diff = abs(grads[name].double().norm().item() - g["l2"])
        assert diff <= max(3e-5 * g["l2"], floor), (name, diff, g)
        if g["l2"] > floor:
            worst = max(worst, diff / g["l2"])
    return worst


def check_module(module, arrays, grads, inferred, loss, x, labels):
    """The interpreter agrees with the torch module itself in float64."""
    module.double().load_state_dict({n: torch.tensor(v) for n, v in arrays.items() if v.dtype.kind == "f"}, strict=False)
    for m in module.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    x, labels = torch.tensor(x, dtype=torch.float64), torch.tensor(labels)
    torch.testing.assert_close(module.eval()(x), inferred, rtol=1e-8, atol=1e-8)
    got = F.cross_entropy(module.train()(x), labels)
    got.backward()
    assert abs(got.item() - loss) < 1e-8
    params = dict(module.named_parameters())
    assert params.keys() == grads.keys()
    for name, p in params.items():  # 1e-7: the file's epsilon is 1e-5 rounded to float32, 2.5e-8 away
        torch.testing.assert_close(p.grad, grads[name], rtol=1e-6, atol=1e-7)


def check_runtime(model, x, want):
    """The file is valid, and onnxruntime gives the interpreter's inference outputs (for files in inference mode)."""
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run(None, {"input": x})[0]
    modes = [onnx.helper.get_attribute_value(a) for n in model.graph.node for a in n.attribute if a.name == "training_mode"]
    old_training = any(n.op_type == "BatchNormalization" and len(n.output) == 5 for n in model.graph.node)
    if not any(modes) and not old_training:
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-5)


def dump(expected):
    """JSON with one line an entry of the second level, so that a change can be read in a diff."""
    lines = []
    for key, value in expected.items():
        if key == "fill":
            lines.append('"fill": [\n  ' + ",\n  ".join(json.dumps(v) for v in value) + "\n ]")
        elif key == "train":
            parts = []
            for k, v in value.items():
                if k in ("gradients", "untied"):
                    v = "{\n   " + ",\n   ".join(f"{json.dumps(n)}: {json.dumps(g)}" for n, g in v.items()) + "\n  }"
                elif k == "statistics":
                    v = "[\n   " + ",\n   ".join(json.dumps(g) for g in v) + "\n  ]" if v else "[]"
                else:
                    v = json.dumps(v)
                parts.append(f"{json.dumps(k)}: {v}")
            lines.append('"train": {\n  ' + ",\n  ".join(parts) + "\n }")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def main():
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for name in BATCH:
        training = export.export_fresh(name, "training")
        record(f"{name}_training", training, export.network(name))
        assert export.export_fresh(name, "preserve", train=True) == training, "then it needs a fixture of its own"
        record(f"{name}_preserve", export.export_fresh(name, "preserve"))
        record(f"{name}_eval", export.export_fresh(name, "eval"))
    # What else a PyTorch user may bring: values that are not tied, old opsets (BatchNormalization with five outputs,
    # Dropout's ratio as an attribute), and the default exporter (BatchNorm folded into Gemm too, Reshape with allowzero).
    _, shape = export.NETWORKS["mnistconv"]
    record("mnistconv_preserve_trained", export.export(export.trained(export.network("mnistconv")), shape, "preserve"),
           export.network("mnistconv"))
    record("mnistconv_eval_trained", export.export(export.trained(export.network("mnistconv")), shape, "eval"))
    record("mnistconv_training_opset9", export.export_fresh("mnistconv", "training", opset=9), export.network("mnistconv"))
    with tempfile.TemporaryDirectory() as dir:
        record("mnistconv_dynamo", export.export_dynamo(export.network("mnistconv"), shape, dir))


if __name__ == "__main__":
    main()
