"""Check files that the tests exported with onnx.checker, and our outputs with onnxruntime's.

    ONNX_ENTROPY_EXPORTS=DIR go test -run ExportForInference ./onnxload
    python onnxload/testdata/check_exports.py DIR

Versions used: onnx 1.23.2, onnxruntime 1.32.0.
"""
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


def read(path):
    t = onnx.TensorProto()
    t.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(t)


for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    onnx.checker.check_model(str(path), full_check=True)
    s = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = read(path.with_suffix(".x.pb")).astype(np.float32)
    y = read(path.with_suffix(".y.pb"))
    got = s.run(None, {s.get_inputs()[0].name: x})[0]
    difference = np.abs(got - y).max() / np.abs(y).max()
    print(f"{path.name}: relative difference {difference:.1e}")
    assert got.shape == y.shape and difference < 1e-5
