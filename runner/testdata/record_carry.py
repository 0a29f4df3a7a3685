"""Record what PyTorch computes for a language model that reads text in windows with its states carried.

    python runner/testdata/record_carry.py

writes, beside this script, one network exported twice, carry_inside.onnx without a word of states and carry_pairs.onnx with
states as inputs and outputs and the time axis left open, and carry.json: the losses of all windows and the gradients of the
last, in float64 at weights rounded to float32, and the loss over the whole text read at once. Made with torch 2.15.0.
"""
import io
import json
import pathlib

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
SYMBOLS, WIDTH, STREAMS, WINDOW, WINDOWS = 11, 6, 3, 5, 4


class Model(nn.Module):
    def __init__(self, pairs):
        super().__init__()
        self.pairs = pairs
        self.embed = nn.Embedding(SYMBOLS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, 2, batch_first=True)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.out = nn.Linear(WIDTH, SYMBOLS)

    def forward(self, x, h=None, c=None, g=None):
        state = None if h is None else (h, c)
        y, (h, c) = self.lstm(self.embed(x), state)
        y, g = self.gru(y, g)
        return (self.out(y), h, c, g) if self.pairs else self.out(y)


def export(model, args, names, axes):
    out = io.BytesIO()
    outputs = ["output", "hn", "cn", "gn"][: 4 if model.pairs else 1]
    torch.onnx.export(model.train(), args, out, dynamo=False, opset_version=17, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False,
                      input_names=names, output_names=outputs, dynamic_axes=axes)
    return out.getvalue()


def main():
    torch.manual_seed(0)
    inside, pairs = Model(False), Model(True)
    pairs.load_state_dict(inside.state_dict())
    x = torch.zeros(2, WINDOW, dtype=torch.int64)
    (HERE / "carry_inside.onnx").write_bytes(export(inside, (x,), ["input"], {"input": {0: "batch"}, "output": {0: "batch"}}))
    state = [torch.zeros(n, 2, WIDTH) for n in (2, 2, 1)]
    axes = {"input": {0: "batch", 1: "time"}, "output": {0: "batch", 1: "time"}}
    axes |= {n: {1: "batch"} for n in ("h0", "c0", "g0", "hn", "cn", "gn")}
    (HERE / "carry_pairs.onnx").write_bytes(export(pairs, (x, *state), ["input", "h0", "c0", "g0"], axes))

    model = pairs.double()
    ids = torch.randint(SYMBOLS, (STREAMS, WINDOW * WINDOWS + 1))
    loss_of = lambda y, t: nn.functional.cross_entropy(y.reshape(-1, SYMBOLS), t.reshape(-1))
    h = c = g = None
    losses = []
    for w in range(WINDOWS):
        part = ids[:, w * WINDOW : (w + 1) * WINDOW + 1]
        model.zero_grad()
        y, h, c, g = model(part[:, :-1], h, c, g) if h is None else model(part[:, :-1], h.detach(), c.detach(), g.detach())
        loss = loss_of(y, part[:, 1:])
        loss.backward()
        losses.append(loss.item())
    text = torch.randint(SYMBOLS, (1, 43))
    whole = loss_of(model(text[:, :-1])[0], text[:, 1:]).item()
    json.dump({"streams": ids.tolist(), "window": WINDOW, "losses": losses,
               "gradients": {n: p.grad.flatten().tolist() for n, p in model.named_parameters()},
               "states": {"h": h.flatten().tolist(), "c": c.flatten().tolist(), "g": g.flatten().tolist()},
               "text": text[0].tolist(), "whole": whole}, open(HERE / "carry.json", "w"))


if __name__ == "__main__":
    main()
