"""Milliseconds per gradient in PyTorch, to hold against `onnx-entropy bench`.

    python models/bench_torch.py [--batch 128] [--seconds 2] [--threads 1,2] [NAME ...]

One gradient is zero_grad, forward and backward of the mean cross-entropy in train() mode, dropout on, on one batch of
normal data; for charlstm symbols and, at all 50 positions, targets are random. Each network runs with every number of threads and, if it has convolutions, with and without channels_last;
the best median is reported, and all of them under "settings". Prints one JSON object a network, as it is ready. To
compare two programs, run them in turns, on an idle machine. Written with torch 2.15.0.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

import export


def median_ms(name, batch, threads, layout, seconds):
    torch.set_num_threads(threads)
    model = export.network(name).train().to(memory_format=layout)
    if name == "charlstm":
        x, y = torch.randint(87, (2, batch, *export.NETWORKS[name][1]))
    else:
        x = torch.randn(batch, *export.NETWORKS[name][1]).contiguous(memory_format=layout)
        y = torch.arange(batch) % 10
    times, end = [], None
    while end is None or time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        model.zero_grad(set_to_none=False)
        F.cross_entropy(model(x).flatten(0, -2), y.flatten()).backward()
        times.append(1000 * (time.perf_counter() - start))
        if end is None:
            end = time.perf_counter() + seconds
    return statistics.median(times[2:])  # the first two allocate and choose algorithms


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--batch", type=int, default=128)
    args.add_argument("--seconds", type=float, default=2, help="for each setting")
    args.add_argument("--threads", default="1,2")
    args.add_argument("names", nargs="*", metavar="NAME", help=" ".join(export.NETWORKS))
    args = args.parse_args()
    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    for name in args.names or export.NETWORKS:
        settings = []
        for threads in map(int, args.threads.split(",")):
            for layout in ["contiguous"] if name in ("mnistfc", "charlstm") else layouts:
                ms = median_ms(name, args.batch, threads, layouts[layout], args.seconds)
                settings.append({"threads": threads, "layout": layout, "gradient_ms": round(ms, 3)})
        best = min(settings, key=lambda s: s["gradient_ms"])
        print(json.dumps({"model": name, "batch": args.batch, **best, "torch": torch.__version__, "settings": settings}), flush=True)


if __name__ == "__main__":
    main()
