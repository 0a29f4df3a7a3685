"""Writes pool.json: poolings and their gradients by PyTorch, for internal/ops/pool_test.go.

    python record_pool.py > pool.json

Images hold few different values, so that maxima are tied, and in some cases NaN. Each case is an object
with the fields of poolRecord in pool_test.go; NaN is written as the string "nan".
"""
import json
import math

import torch
import torch.nn.functional as F

torch.manual_seed(1)


def numbers(t):
    return ["nan" if math.isnan(v) else v for v in t.flatten().tolist()]


def case(op, shape, kernel, stride, pad=0, dilation=1, ceil=False, count=False, nan=False):
    x = torch.randint(-2, 3, shape).double()
    if nan:
        x[torch.rand(shape) < 0.15] = math.nan
    x.requires_grad_()
    spatial = len(shape) - 2
    if op == "max":
        f = F.max_pool2d if spatial == 2 else F.max_pool1d
        y = f(x, kernel, stride, pad, dilation, ceil)
    else:
        f = F.avg_pool2d if spatial == 2 else F.avg_pool1d
        y = f(x, kernel, stride, pad, ceil, count)
    dy = torch.randn(y.shape).double()
    y.backward(dy)

    def every(v):
        return [v] * spatial if isinstance(v, int) else list(v)

    return {
        "Op": op, "Shape": list(shape), "YShape": list(y.shape),
        "Attr": {"Kernel": every(kernel), "Strides": every(stride), "Dilations": every(dilation),
                 "Pads": every(pad) * 2, "CeilMode": ceil, "CountIncludePad": count},
        "X": numbers(x), "DY": numbers(dy), "Y": numbers(y), "DX": numbers(x.grad),
    }


cases = []
for nan in (False, True):
    cases += [
        case("max", (2, 2, 4, 6), 2, 2, nan=nan),
        case("max", (1, 2, 5, 7), 2, 2, ceil=True, nan=nan),
        case("max", (1, 2, 6, 6), 3, 2, 1, nan=nan),
        case("max", (1, 2, 6, 7), (3, 2), (2, 3), (1, 1), ceil=True, nan=nan),
        case("max", (1, 2, 7, 7), 2, 1, 1, dilation=2, nan=nan),
        case("max", (2, 2, 9), 3, 2, 1, ceil=True, nan=nan),
        case("max", (1, 1, 5, 5), 2, 3, 1, ceil=True, nan=nan),
    ]
for count in (False, True):
    cases += [
        case("avg", (1, 2, 5, 7), 2, 2, ceil=True, count=count),
        case("avg", (1, 2, 6, 7), 3, (2, 3), 1, ceil=True, count=count),
        case("avg", (1, 1, 5, 5), 2, 3, 1, ceil=True, count=count),
        case("avg", (2, 1, 8), 3, 2, 1, ceil=True, count=count),
        case("avg", (1, 1, 4, 4), 3, 1, 1, count=count),
    ]
print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")
