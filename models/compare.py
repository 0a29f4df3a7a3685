"""Milliseconds per gradient of this program, of PyTorch and of stock Gorgonia, measured in turns.

    go build -o bin/onnx-entropy ./cmd/onnx-entropy && go test -c -o bin/runner.test ./runner
    python models/compare.py --bin bin/onnx-entropy --test bin/runner.test [--rounds 3] [NAME ...]

A gradient is of 128 samples of normal data, in training mode with dropout. PyTorch first tries the settings of bench_torch.py
and then keeps the best. Gorgonia's column is BenchmarkGorgonia of package runner: TapeMachine and its own operators, without
BatchNormalization and dropout; allcnn with 16 samples, times eight. Each round runs the three after one another; the table
has the medians of the rounds. To be run on an idle machine. Written with torch 2.15.0.
"""
import argparse
import json
import re
import statistics
import subprocess

import torch

import bench_torch
import export

BATCH = 128


def ours(binary, name):
    out = subprocess.run([binary, "bench", name, "--batch", str(BATCH), "--time", "1s", "--json"], check=True, capture_output=True, text=True)
    r = json.loads(out.stdout)
    return r["gradient_ms"], r["allocs"]


def gorgonia(test, name):
    args = [test, "-test.run", "^$", "-test.bench", f"^BenchmarkGorgonia$/^{name}$", "-test.benchtime", "2x", "-test.benchmem"]
    out = subprocess.run(args, check=True, capture_output=True, text=True).stdout
    found = re.search(r"([\d.]+) ms/128samples.*?(\d+) allocs/op", out)
    return float(found[1]), int(found[2])


def best_setting(name):
    layouts = [torch.contiguous_format] if name == "mnistfc" else [torch.contiguous_format, torch.channels_last]
    return min(((t, l) for t in (1, 2) for l in layouts), key=lambda s: bench_torch.median_ms(name, BATCH, *s, 0.3))


def compare(args, name):
    threads, layout = best_setting(name)
    rounds = [(ours(args.bin, name), bench_torch.median_ms(name, BATCH, threads, layout, 1), gorgonia(args.test, name)) for _ in range(args.rounds)]
    own, torch_ms, stock = (statistics.median(v) for v in zip(*((r[0][0], r[1], r[2][0]) for r in rounds)))
    allocs = [statistics.median(r[k][1] for r in rounds) for k in (0, 2)]
    print(f"| {name} | {own:.1f} | {torch_ms:.1f} | {own / torch_ms:.2f} | {stock:.0f} | {own / stock:.3f} | {allocs[0]:.0f}, {allocs[1]:,.0f} |"
          f"  PyTorch: {threads} threads, {str(layout).removeprefix('torch.')}", flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--bin", required=True)
    args.add_argument("--test", required=True)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("names", nargs="*", metavar="NAME", help=" ".join(export.NETWORKS))
    args = args.parse_args()
    print("| | onnx-entropy | PyTorch | ratio | stock Gorgonia | ratio | allocations: ours, Gorgonia's |\n|---|---|---|---|---|---|---|")
    for name in args.names or export.NETWORKS:
        compare(args, name)


if __name__ == "__main__":
    main()
