"""Milliseconds per inference of this program and of onnxruntime, measured in turns. `make bench-inference` runs it.

    python models/bench_inference.py [--bin bin/onnx-entropy] [--rounds 5] [--batch 1,16] [--seconds 1] [NAME ...]

Exports torchvision's networks with random weights, also where it begins with zeros, at 224 x 224 by PyTorch's default exporter in eval() mode, and compares the
outputs of the two programs, as a part of the largest. onnxruntime runs at the better of one and two threads, which a first
round finds out, all optimizations on. The table has the medians of the rounds. For an idle machine. Written with torch 2.15.0,
torchvision 0.29.2, onnxruntime 1.32.0. Exit status 1 if outputs differ by more than LIMIT.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import onnxruntime
import torch
import torchvision

LIMIT = 1e-4
NETWORKS = ("resnet18", "vit_b_16")


def export(name, path):
    torch.manual_seed(1)
    module = torchvision.models.get_model(name, weights=None).eval()
    for p in module.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.02)  # a head of zeros has nothing to compare
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, torch.randn(2, 3, 224, 224), path, dynamo=True, input_names=["input"], output_names=["output"],
                          dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False, verbose=False)


def samples(batch):
    return np.random.default_rng(1).standard_normal((batch, 3, 224, 224), dtype=np.float32)


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def theirs(path, batch, threads, seconds):
    """A session of its own each time: its threads wait actively."""
    s = session(path, threads)
    x = {s.get_inputs()[0].name: samples(batch)}
    for _ in range(2):
        s.run(None, x)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        s.run(None, x)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def ours(binary, path, batch, seconds):
    args = [binary, "bench", path, "--inference", "--batch", str(batch), "--time", f"{seconds}s", "--json"]
    return json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)


def difference(binary, path, batch, dir):
    x, y = os.path.join(dir, "x.npy"), os.path.join(dir, "y.npy")
    np.save(x, samples(batch))
    subprocess.run([binary, "predict", path, "--input", x, "--scale", "1", "--out", y], check=True, capture_output=True)
    s = session(path, 2)
    want = s.run(None, {s.get_inputs()[0].name: samples(batch)})[0]
    return float(np.abs(np.load(y) - want).max() / np.abs(want).max())


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--bin", default="bin/onnx-entropy")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=float, default=1, help="for each measurement")
    args.add_argument("--batch", default="1,16")
    args.add_argument("--threads", help="of onnxruntime; default: the better of 1 and 2", type=int)
    args.add_argument("--models", help="folder with NAME.onnx, instead of exporting")
    args.add_argument("names", nargs="*", metavar="NAME", help="networks of torchvision; default: " + " ".join(NETWORKS))
    args = args.parse_args()
    print("| network | batch | ms | onnxruntime | ratio | of peak | allocations | outputs differ by |\n|---|---|---|---|---|---|---|---|")
    apart = False
    for name in args.names or NETWORKS:
        with tempfile.TemporaryDirectory() as dir:
            path = os.path.join(args.models or dir, name + ".onnx")
            if not args.models:
                export(name, path)
            for batch in map(int, args.batch.split(",")):
                threads = args.threads or min((1, 2), key=lambda t: theirs(path, batch, t, args.seconds / 2))
                rounds = [(ours(args.bin, path, batch, args.seconds), theirs(path, batch, threads, args.seconds)) for _ in range(args.rounds)]
                own, other = (statistics.median(t) for t in zip(*((o["inference_ms"], t) for o, t in rounds)))
                last = rounds[-1][0]
                share = last["flops"] / own / 1e6 / statistics.median(o["peak_gflops"] for o, _ in rounds)
                apart |= not (d := difference(args.bin, path, batch, dir)) < LIMIT
                print(f"| {name} | {batch} | {own:.1f} | {other:.1f} | {own / other:.2f} | {share:.0%} | {last['allocs']:.0f} | "
                      f"{d:.0e} |", flush=True)
    return int(apart)


if __name__ == "__main__":
    sys.exit(main())
