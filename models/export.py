"""Export the networks of the Entropy-SGD paper (arXiv 1611.01838) from PyTorch to ONNX.

    python models/export.py                 writes the files that models.go embeds, beside this script
    python models/export.py --dir D         writes D/NAME_MODE.onnx for every network and mode

Versions used for the committed files: Python 3, torch 2.15.0, onnx 1.23.2 (and onnxscript 0.7.2 for the
exporter that is torch's default). Rerunning gives the same bytes with the same versions; torch's initial
weights come from seed 0 and may differ between releases of torch.

The layers are those of the authors' PyTorch program, where it and the paper agree:

  mnistfc    784-1024-1024-10, BatchNorm + ReLU + dropout 0.15 after each hidden layer. The input is
             [N,1,28,28] and the graph flattens it. (The program also drops 0.2 of the input; the paper not.)
  mnistconv  conv5x5(20) BN ReLU maxpool3 dropout, conv5x5(50) BN ReLU maxpool2 dropout, 500 BN ReLU dropout, 10;
             dropout 0.25.
  charlstm   embedding 128 of 87 symbols, LSTM 2 x 128, linear 87; the input is [N,50] symbols (int64), the output [N,50,87].
  ptblstm    embedding 200 of 10,000 words, LSTM 200, LSTM 200, linear 10,000, dropout 0.2 before, between and behind the two; the
             input is [N,35] words (int64), the output [N,35,10000]. The paper's has 1500 units: this one is for a CPU.
  allcnn     input dropout 0.2; 3x3 convolutions 96, 96, 96/2, dropout 0.5, 192, 192, 192/2, dropout 0.5, 192, 192,
             then 1x1 to 10 planes, average over the 8x8 plane. BN + ReLU follow EVERY convolution, the last too,
             and the eighth is 3x3, not 1x1: so it is in both programs, and so it has the paper's 1.67 M weights.

Modes, as torch.onnx.export(training=...) names them. They exist in the TorchScript exporter only (dynamo=False:
deprecated, but present in 2.15, for opsets 6 to 22 at least):

  EVAL       what most people export: BatchNorm folded into the convolution before it, Dropout gone
  PRESERVE   of a module in eval() mode: BatchNorm stays, with training_mode=0, and Dropout is gone.
             Of a module in train() mode the bytes are those of TRAINING.
  TRAINING   BatchNormalization with training_mode=1 and Dropout with training_mode=true

EVAL and PRESERVE keep ONE initializer of those that hold equal values and reach it through Identity. In a fresh network
these are the ones of every BatchNorm's scale AND running variance, and the zeros of its bias and running mean. A
network that was trained before (`trained`) is not tied so.
"""
import argparse
import collections
import gzip
import io
import pathlib
import warnings

import numpy as np
import onnx
import torch
from torch import nn

OPSET = 17
HERE = pathlib.Path(__file__).parent


def sequential(*layers):
    return nn.Sequential(collections.OrderedDict(layers))


def mnistfc(width=1024, drop=0.15):
    layers, n = [("flatten", nn.Flatten())], 784
    for i in (1, 2):
        layers += [(f"fc{i}", nn.Linear(n, width)), (f"bn{i}", nn.BatchNorm1d(width)),
                   (f"relu{i}", nn.ReLU()), (f"drop{i}", nn.Dropout(drop))]
        n = width
    return sequential(*layers, ("fc3", nn.Linear(n, 10)))


def mnistconv(drop=0.25):
    layers, planes = [], 1
    for i, (out, pool) in enumerate([(20, 3), (50, 2)], 1):
        layers += [(f"conv{i}", nn.Conv2d(planes, out, 5)), (f"bn{i}", nn.BatchNorm2d(out)), (f"relu{i}", nn.ReLU()),
                   (f"pool{i}", nn.MaxPool2d(pool)), (f"drop{i}", nn.Dropout(drop))]
        planes = out
    return sequential(*layers, ("flatten", nn.Flatten()), ("fc1", nn.Linear(200, 500)), ("bn3", nn.BatchNorm1d(500)),
                      ("relu3", nn.ReLU()), ("drop3", nn.Dropout(drop)), ("fc2", nn.Linear(500, 10)))


def allcnn(drop=0.5, input_drop=0.2):
    layers, planes = [("drop0", nn.Dropout(input_drop))], 3
    plan = [(96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 3, 1), (10, 1, 1)]
    for i, (out, kernel, stride) in enumerate(plan, 1):
        layers += [(f"conv{i}", nn.Conv2d(planes, out, kernel, stride, kernel // 2)), (f"bn{i}", nn.BatchNorm2d(out)),
                   (f"relu{i}", nn.ReLU())]
        if stride == 2:
            layers.append((f"drop{i}", nn.Dropout(drop)))
        planes = out
    return sequential(*layers, ("pool", nn.AvgPool2d(8)), ("flatten", nn.Flatten()))


class CharLSTM(nn.Module):
    def __init__(self, symbols=87, width=128, layers=2):
        super().__init__()
        self.embed = nn.Embedding(symbols, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.out = nn.Linear(width, symbols)

    def forward(self, x):
        return self.out(self.lstm(self.embed(x))[0])


class PTBLSTM(nn.Module):
    def __init__(self, words=10000, width=200, drop=0.2):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.lstm1, self.lstm2 = (nn.LSTM(width, width, batch_first=True) for _ in range(2))
        self.drop0, self.drop1, self.drop2 = (nn.Dropout(drop) for _ in range(3))
        self.out = nn.Linear(width, words)

    def forward(self, x):
        x = self.lstm1(self.drop0(self.embed(x)))[0]
        return self.out(self.drop2(self.lstm2(self.drop1(x))[0]))


NETWORKS = {"mnistfc": (mnistfc, (1, 28, 28)), "mnistconv": (mnistconv, (1, 28, 28)), "allcnn": (allcnn, (3, 32, 32)),
            "charlstm": (CharLSTM, (50,)), "ptblstm": (PTBLSTM, (35,))}
MODES = ("eval", "preserve", "training")


def network(name, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[name][0]()


def trained(model):
    """The model with distinct values in every BatchNorm, as training leaves them."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for t in (module.weight, module.bias, module.running_mean, module.running_var):
                t.data += 0.1 * torch.rand_like(t)
    return model


def export(model, shape, mode, opset=OPSET, train=None, dtype=torch.float32):
    """The bytes of a module for inputs of `shape` (without the batch) from the TorchScript exporter. train: whether the
    module is in train() mode while it is exported; by default only in mode TRAINING."""
    model.train(mode == "training" if train is None else train)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation of dynamo=False, and "exporting in training mode"
        torch.onnx.export(model, (torch.zeros(2, *shape, dtype=dtype),), out, dynamo=False, opset_version=opset,
                          training=getattr(torch.onnx.TrainingMode, mode.upper()), do_constant_folding=mode == "eval",
                          input_names=["input"], output_names=["output"],
                          dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}})
    return out.getvalue()


def export_fresh(name, mode, **options):
    return export(network(name), NETWORKS[name][1], mode, dtype=dtype(name), **options)


def dtype(name):
    """The element type of the network's input."""
    return torch.int64 if name in ("charlstm", "ptblstm") else torch.float32


def export_dynamo(model, shape, dir, dtype=torch.float32):
    """The bytes of a module from torch's default exporter, inference only. external_data=False keeps the weights in the
    file. It notes the exporting machine's source paths in metadata_props of every node: they are removed."""
    path = pathlib.Path(dir) / "dynamo.onnx"
    torch.onnx.export(model.eval(), (torch.zeros(2, *shape, dtype=dtype),), path, external_data=False, verbose=False,
                      input_names=["input"], output_names=["output"], dynamic_shapes=({0: torch.export.Dim("batch")},))
    model = onnx.load(path)
    for part in [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output,
                 *model.graph.initializer]:
        part.ClearField("metadata_props")
    return model.SerializeToString()


def reset_statistics(data):
    """The model with fresh running statistics. Tracing runs a module in train() mode once, so they have moved towards the
    statistics of the example input, zeros."""
    model = onnx.load_from_string(data)
    for t in model.graph.initializer:
        for suffix, value in ((".running_mean", 0), (".running_var", 1)):
            if t.name.endswith(suffix):
                t.raw_data = np.full(t.dims, value, "<f4").tobytes()
    return model.SerializeToString()


def without_weights(data):
    """The model with the weights and biases of all layers but BatchNorm zeroed; models.go fills them. BatchNorm's ones
    and zeros stay."""
    model = onnx.load_from_string(data)
    layers = {t.name.split(".")[0] for t in model.graph.initializer if len(t.dims) > 1}
    for t in model.graph.initializer:
        if t.name.split(".")[0] in layers:
            t.raw_data = bytes(len(t.raw_data))
    return model.SerializeToString()


def embedded(name):
    return reset_statistics(export_fresh(name, "training"))


def export_all(dir):
    dir.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        for mode in MODES:
            (dir / f"{name}_{mode}.onnx").write_bytes(export_fresh(name, mode))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--dir", type=pathlib.Path)
    dir = args.parse_args().dir
    if dir:
        return export_all(dir)
    (HERE / "mnistconv.onnx").write_bytes(embedded("mnistconv"))
    for name in ("mnistfc", "allcnn", "charlstm", "ptblstm"):
        (HERE / f"{name}.onnx.gz").write_bytes(gzip.compress(without_weights(embedded(name)), 9, mtime=0))


if __name__ == "__main__":
    main()
