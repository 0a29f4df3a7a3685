"""Record recurrent_attributes.json.gz: single LSTM, GRU and RNN nodes with the attributes that PyTorch does not use, and
onnxruntime's outputs.

    python onnxload/testdata/record_recurrent.py

Versions used: onnx 1.23.2, onnxruntime 1.32.0.
"""
import base64
import gzip
import json
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

T, N, I, H = 4, 3, 2, 3
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def case(name, op, lens=None, initial=True, peepholes=False, **attributes):
    rng = np.random.default_rng(len(name))
    d = 2 if attributes.get("direction") == "bidirectional" else 1
    m = GATES[op] * H
    draw = lambda *shape: rng.uniform(-1, 1, shape).astype(np.float32)
    weights = {"w": draw(d, m, I), "r": draw(d, m, H), "b": draw(d, 2 * m)}
    inputs = {"x": 2 * draw(T, N, I)}
    names = ["x", "w", "r", "b", "lens" if lens else ""]
    if initial:
        inputs["h"] = draw(d, N, H)
        names.append("h")
        if op == "LSTM":
            inputs["c"] = draw(d, N, H)
            names.append("c")
    if peepholes:
        weights["p"] = draw(d, 3 * H)
        names.append("p")
    outputs = {"y": 4, "yh": 3, "yc": 3} if op == "LSTM" else {"y": 4, "yh": 3}
    values = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in inputs.items()]
    feed = dict(inputs)
    if lens:
        values.append(helper.make_tensor_value_info("lens", TensorProto.INT32, [N]))
        feed["lens"] = np.array(lens, np.int32)
    graph = helper.make_graph([helper.make_node(op, names, list(outputs), hidden_size=H, **attributes)], "g", values,
                              [helper.make_tensor_value_info(k, TensorProto.FLOAT, [None] * r) for k, r in outputs.items()],
                              [numpy_helper.from_array(v, k) for k, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8).SerializeToString()
    got = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(list(outputs), feed)
    return {"name": f"{op} {name}", "model": base64.b64encode(model).decode(), "lens": lens,
            "inputs": {k: v.flatten().tolist() for k, v in inputs.items()}, "outputs": {k: y.flatten().tolist() for k, y in zip(outputs, got)}}


both = dict(direction="bidirectional")
cases = [case("defaults", op, **a) for op in GATES for a in ({}, dict(initial=False, direction="reverse"))]
cases += [case("lengths", op, lens=[4, 1, 3], **both) for op in GATES]
cases += [case("clip", op, clip=0.5) for op in GATES]
cases += [
    case("peepholes", "LSTM", peepholes=True, **both),
    case("input_forget", "LSTM", input_forget=1),
    case("functions", "LSTM", activations=["HardSigmoid", "ScaledTanh", "Softsign"], activation_alpha=[0.3, 1.5], activation_beta=[0.4, 0.6]),
    case("two ways", "LSTM", activations=["Sigmoid", "Relu", "Tanh", "HardSigmoid", "Tanh", "Affine"], activation_alpha=[0.25, 0.5],
         activation_beta=[0.5, 0.1], **both),
    case("linear", "GRU", linear_before_reset=1, lens=[2, 4, 1]),
    case("functions", "GRU", activations=["HardSigmoid", "LeakyRelu"], activation_alpha=[0.2, 0.3], activation_beta=[0.5], linear_before_reset=1),
    case("softplus", "RNN", activations=["Softplus"]),
    case("elu", "RNN", activations=["Elu"], activation_alpha=[0.7]),
    case("thresholded", "RNN", activations=["ThresholdedRelu"], activation_alpha=[0.2]),
]
pathlib.Path(__file__).with_name("recurrent_attributes.json.gz").write_bytes(gzip.compress(json.dumps(cases).encode(), 9, mtime=0))
print(len(cases), "cases")
