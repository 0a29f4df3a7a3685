"""Record onnxload/testdata/recurrent: small recurrent networks as PyTorch exports them, with the loss, the gradients and
the outputs that the torch modules have in float64.

    python models/fixtures_recurrent.py

Versions used for the committed files: torch 2.15.0, onnx 1.23.2, onnxruntime 1.32.0, onnxscript 0.7.2.

NAME.onnx.gz holds the weights. NAME.json.gz: "ids" (of "shape"), "labels", "loss" (mean cross-entropy over all positions),
"output" and "gradients" by initializer, each row-major. Exporters of inference graphs reorder and join the parameters; an
initializer is recognised by its values, and its gradient is made of the parameters' in the same way.
"""
import gzip
import itertools
import json
import pathlib
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

import export

OUT = pathlib.Path(__file__).parent.parent / "onnxload" / "testdata" / "recurrent"
SYMBOLS, WIDTH, HIDDEN, BATCH, STEPS = 11, 4, 5, 3, 6
GATES = {nn.LSTM: [0, 3, 1, 2], nn.GRU: [1, 0, 2], nn.RNN: [0]}  # torch's i f g o, r z n as ONNX's i o f c, z r h


class Net(nn.Module):
    def __init__(self, kind, last=False, start=False, **options):
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, WIDTH)
        self.rnn = kind(WIDTH, HIDDEN, **options)
        self.ways = 2 if self.rnn.bidirectional else 1
        self.out = nn.Linear(self.ways * HIDDEN, SYMBOLS)
        self.last = last
        self.start = nn.Parameter(torch.randn(self.rnn.num_layers * self.ways, 1, HIDDEN)) if start else None

    def forward(self, x):
        h0 = None
        if self.start is not None:
            h0 = self.start.expand(-1, x.shape[0], -1).contiguous()
        y, h = self.rnn(self.embed(x), h0)
        return self.out(h[0] if self.last else y)


def record(name, net, mode, opset=export.OPSET):
    if mode == "dynamo":
        with tempfile.TemporaryDirectory() as dir:
            data = export.export_dynamo(net, (STEPS,), dir, torch.int64)
    else:
        data = export.export(net, (STEPS,), mode, opset, dtype=torch.int64)
    model = onnx.load_from_string(data)
    rng = np.random.default_rng(1)
    x = torch.tensor(rng.integers(0, SYMBOLS, (BATCH, STEPS)))
    labels = torch.tensor(rng.integers(0, SYMBOLS, (BATCH,) if net.last else (BATCH, STEPS)))
    net.double()
    out = net(x)
    loss = F.cross_entropy(out.reshape(-1, SYMBOLS), labels.flatten())
    loss.backward()

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"input": x.numpy()})[0], out.detach().numpy(), rtol=1e-5, atol=1e-5)

    known = candidates(net)
    gradients = {}
    for t in model.graph.initializer:
        a = numpy_helper.to_array(t)
        if a.dtype == np.float32 and a.size > 1:
            match = [g for v, g in known if v.shape == a.shape and np.array_equal(v.astype(np.float32), a)]
            assert len(match) == 1, (name, t.name, len(match))
            gradients[t.name] = [float(f"{v:.13g}") for v in match[0].flatten()]
    total = sum(p.numel() for p in net.parameters())
    assert sum(map(len, gradients.values())) == total, name
    OUT.mkdir(exist_ok=True)
    expected = {"shape": [BATCH, STEPS], "ids": x.flatten().tolist(), "labels": labels.flatten().tolist(), "label_shape": list(labels.shape),
                "loss": loss.item(), "output": out.flatten().tolist(), "gradients": gradients}
    (OUT / f"{name}.onnx.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    (OUT / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(expected).encode(), 9, mtime=0))
    print(f"{name}: loss {loss.item():.6f}, {len(gradients)} gradients")


def candidates(net):
    """Pairs of a tensor that an export may hold and its gradient."""
    pairs = []
    for p in net.parameters():
        v, g = p.detach().numpy(), p.grad.numpy()
        pairs.append((v, g))
        if v.ndim == 2:
            pairs.append((v.T, g.T))
    order = GATES[type(net.rnn)]

    def gates(p):
        return np.concatenate([np.split(p, len(order))[k] for k in order])

    def joined(names, take):
        return np.stack([np.concatenate([gates(take(getattr(net.rnn, n))) for n in direction]) for direction in names])

    for layer in range(net.rnn.num_layers):
        ends = [f"_l{layer}" + end for end in ("", "_reverse")[:net.ways]]
        for group in (["weight_ih"], ["weight_hh"], ["bias_ih", "bias_hh"]):
            names = [[n + end for n in group] for end in ends]
            pairs.append(tuple(joined(names, take) for take in (lambda p: p.detach().numpy(), lambda p: p.grad.numpy())))
    return pairs


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for mode, (name, kind, options) in itertools.product(("training", "eval", "dynamo"), (
            ("lstm", nn.LSTM, dict(num_layers=2, batch_first=True)),
            ("gru", nn.GRU, dict(bidirectional=True, batch_first=True)),
            ("rnn", nn.RNN, dict(nonlinearity="relu", batch_first=True)))):
        record(f"{name}_{mode}", Net(kind, **options), mode)
    record("gru_start_last_training", Net(nn.GRU, start=True, last=True, batch_first=True), "training")
    record("lstm_opset9_training", Net(nn.LSTM, batch_first=True), "training", opset=9)


if __name__ == "__main__":
    main()
