"""Milliseconds per gradient and per inner step of Entropy-SGD in PyTorch, to hold against `onnx-entropy bench`.

    python models/bench_torch.py [--batch 128] [--seconds 2] [--threads 1,2] [--layouts contiguous,channels_last] [NAME ...]

`make bench` runs both in turns and compares. One gradient is zero_grad, forward and backward of the mean cross-entropy in
train() mode, dropout on, on one batch of normal data; for charlstm of random symbols, with targets at all 50 positions. A
step is a gradient and the update of weights, momentum and mean with noise, in two ways of writing: a tensor at a time, and
torch's _foreach functions with one call for all noise.

Each network runs with every number of threads and, if it has convolutions, layout. Prints one JSON object a network with
all of these settings, and the process's peak memory: after importing torch, and at the end. Environment variables such as
OMP_WAIT_POLICY are the caller's. Written with torch 2.15.0.
"""
import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F

import export

IMPORTED = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Tensors:
    """Entropy-SGD's inner update, a tensor at a time."""
    lr, gamma, momentum, alpha, noise = 0.1, 1e-4, 0.9, 0.75, 1e-3 * 0.1**0.5

    def __init__(self, params):
        self.p = list(params)
        self.x, self.mu = [[p.detach().clone() for p in self.p] for _ in range(2)]
        self.v = [torch.zeros_like(p) for p in self.p]

    @torch.no_grad()
    def step(self):
        for p, x, mu, v in zip(self.p, self.x, self.mu, self.v):
            v.mul_(self.momentum).add_(p.grad)
            g = p.grad.add(v, alpha=self.momentum).sub_(x - p, alpha=self.gamma)
            p.add_(g, alpha=-self.lr).add_(torch.randn_like(p), alpha=self.noise)
            mu.lerp_(p, self.alpha)


class Foreach(Tensors):
    """The same with torch's functions for lists of tensors."""

    def __init__(self, params):
        super().__init__(params)
        self.flat = torch.empty(sum(p.numel() for p in self.p))
        self.xi, at = [], 0
        for p in self.p:
            self.xi.append(self.flat[at:at + p.numel()].view(p.shape))
            at += p.numel()

    @torch.no_grad()
    def step(self):
        grads = [p.grad for p in self.p]
        torch._foreach_mul_(self.v, self.momentum)
        torch._foreach_add_(self.v, grads)
        torch._foreach_add_(grads, self.v, alpha=self.momentum)
        torch._foreach_add_(grads, self.x, alpha=-self.gamma)
        torch._foreach_add_(grads, self.p, alpha=self.gamma)
        torch._foreach_add_(self.p, grads, alpha=-self.lr)
        self.flat.normal_()
        torch._foreach_add_(self.p, self.xi, alpha=self.noise)
        torch._foreach_lerp_(self.mu, self.p, self.alpha)


def median_ms(name, batch, threads, layout, seconds):
    """Of a gradient."""
    return medians(name, batch, threads, layout, seconds, None)[0]


def medians(name, batch, threads, layout, seconds, update):
    """Milliseconds of a gradient and of a step; update is one of the classes above, or None for no update."""
    torch.set_num_threads(threads)
    model = export.network(name).train().to(memory_format=layout)
    if name == "charlstm":
        x, y = torch.randint(87, (2, batch, *export.NETWORKS[name][1]))
    else:
        x = torch.randn(batch, *export.NETWORKS[name][1]).contiguous(memory_format=layout)
        y = torch.arange(batch) % 10
    update = update and update(model.parameters())
    times, end = [], None
    while end is None or time.perf_counter() < end or len(times) < 4:
        start = time.perf_counter()
        model.zero_grad(set_to_none=False)
        F.cross_entropy(model(x).flatten(0, -2), y.flatten()).backward()
        gradient = time.perf_counter()
        if update:
            update.step()
        times.append((1000 * (gradient - start), 1000 * (time.perf_counter() - start)))
        if end is None:
            end = time.perf_counter() + seconds
    return [statistics.median(t) for t in zip(*times[2:])]  # the first two allocate and choose algorithms


def measure(name, batch, threads, layout, seconds):
    gradient, tensors = medians(name, batch, threads, LAYOUTS[layout], seconds, Tensors)
    again, foreach = medians(name, batch, threads, LAYOUTS[layout], seconds, Foreach)
    return {"threads": threads, "layout": layout, "gradient_ms": round(min(gradient, again), 3),
            "tensors_ms": round(tensors, 3), "foreach_ms": round(foreach, 3)}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--batch", type=int, default=128)
    args.add_argument("--seconds", type=float, default=2, help="for each measurement of each setting")
    args.add_argument("--threads", default="1,2")
    args.add_argument("--layouts", default=",".join(LAYOUTS))
    args.add_argument("names", nargs="*", metavar="NAME", help=" ".join(export.NETWORKS))
    args = args.parse_args()
    for name in args.names or export.NETWORKS:
        layouts = args.layouts.split(",")
        if not any(isinstance(m, torch.nn.Conv2d) for m in export.network(name).modules()):
            layouts = layouts[:1]
        settings = [measure(name, args.batch, threads, layout, args.seconds)
                    for threads in map(int, args.threads.split(",")) for layout in layouts]
        print(json.dumps({"model": name, "batch": args.batch, "torch": torch.__version__, "settings": settings, "import_rss_mb": round(IMPORTED, 1),
                          "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}), flush=True)


if __name__ == "__main__":
    main()
