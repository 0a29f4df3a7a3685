"""Records outputs and gradients of torch.nn.LSTM, GRU and RNN for sequence_torch_test.go.

    python record_sequence.py > sequence.json

Operands and their gradients are in ONNX's form: W (D,G*H,I), R (D,G*H,H), B (D,2*G*H), gates in the order i o f c and
z r h, Y (T,D,N,H). All in float64. The loss is the sum of all outputs times 1 + (i % 7) / 8, where i counts through Y,
Y_h and Y_c one after the other. Padding is what pack_padded_sequence makes of lengths. Written with torch 2.15.0.
"""
import json
import sys

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.manual_seed(2)
torch.set_default_dtype(torch.float64)

# Where ONNX's gate k is among torch's.
ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}


def tensor(t):
    return {"shape": list(t.shape), "data": t.detach().reshape(-1).tolist()}


def reorder(t, op):
    gates = t.chunk(len(ORDER[op]))
    return torch.cat([gates[k] for k in ORDER[op]])


def onnx(op, module, of):
    """W, R, B from the parameters, or from what `of` gives for each."""
    suffixes = ["", "_reverse"] if module.bidirectional else [""]
    part = lambda name: [reorder(of(getattr(module, name + "_l0" + s)), op) for s in suffixes]
    w, r = torch.stack(part("weight_ih")), torch.stack(part("weight_hh"))
    b = [torch.cat(p) for p in zip(part("bias_ih"), part("bias_hh"))]
    return [w, r, torch.stack(b)]


def case(op, t, n, i, h, bidirectional=False, lens=None, relu=False):
    options = {"nonlinearity": "relu"} if relu else {}
    module = getattr(nn, op)(i, h, bidirectional=bidirectional, **options)
    d = 2 if bidirectional else 1
    x = torch.randn(t, n, i).requires_grad_()
    initial = [torch.randn(d, n, h).requires_grad_() for _ in range(2 if op == "LSTM" else 1)]
    state = tuple(initial) if op == "LSTM" else initial[0]
    if lens:
        y, state = module(pack_padded_sequence(x, torch.tensor(lens), enforce_sorted=False), state)
        y, _ = pad_packed_sequence(y, total_length=t)
    else:
        y, state = module(x, state)
    y = y.reshape(t, n, d, h).transpose(1, 2)
    outputs = [y, *(state if op == "LSTM" else [state])]
    flat = torch.cat([o.reshape(-1) for o in outputs])
    (flat * (1 + (torch.arange(flat.numel()) % 7) / 8)).sum().backward()
    return {
        "op": op, "direction": "bidirectional" if bidirectional else "forward", "lens": lens, "relu": relu,
        "inputs": [tensor(v) for v in [x, *onnx(op, module, lambda p: p), *initial]],
        "grads": [tensor(v) for v in [x.grad, *onnx(op, module, lambda p: p.grad), *(s.grad for s in initial)]],
        "outputs": tensor(flat),
    }


cases = []
for op in ("LSTM", "GRU", "RNN"):
    cases += [case(op, 5, 3, 2, 4), case(op, 4, 2, 3, 3, bidirectional=True),
              case(op, 5, 4, 3, 2, bidirectional=True, lens=[3, 5, 1, 4])]
cases.append(case("RNN", 4, 3, 2, 3, relu=True))
json.dump({"torch": torch.__version__.split("+")[0], "cases": cases}, sys.stdout)
print()
