"""Records trajectories of Entropy-SGD in the conventions of the paper and of its authors' two programs, for
TestEntropySGDFollowsThePrograms: python entropy_programs.py > entropy_programs.json

Written from a description of what the programs do, in float64, without noise. Weight i has on mini-batch b the
gradient d / (1 + d^2), d = x - sin(0.7 i + 1.3 b). Mini-batches are counted over all gradients, used or not.
"""
import json
import numpy as np

N, OUTER = 7, 6
SETTINGS = [
    dict(L=4, lr=1.0, inner_lr=0.1, alpha=0.75, gamma=0.5, scoping=0.1, momentum=0.9, outer_momentum=0.0, decay=0.0),
    dict(L=3, lr=0.7, inner_lr=0.2, alpha=0.6, gamma=0.3, scoping=0.2, momentum=0.5, outer_momentum=0.0, decay=0.05),
    dict(L=5, lr=0.4, inner_lr=0.1, alpha=0.75, gamma=0.2, scoping=0.1, momentum=0.8, outer_momentum=0.8, decay=0.03),
    dict(L=2, lr=1.0, inner_lr=0.3, alpha=0.75, gamma=1.0, scoping=0.0, momentum=0.0, outer_momentum=0.0, decay=0.1),
]


class Gradients:
    """Hands out the gradients of one mini-batch after another."""

    def __init__(self):
        self.batch = 0

    def __call__(self, x):
        d = x - np.sin(0.7 * np.arange(len(x)) + 1.3 * self.batch)
        self.batch += 1
        return d / (1 + d * d)


def lua(c, x):
    """A gradient is wasted before the loop; t counts before gamma is used; decay goes into the step last."""
    grad, t = Gradients(), 0
    while True:
        grad(x)
        t += 1
        gamma = c["gamma"] * (1 + c["scoping"]) ** t
        anchor, average, velocity = x.copy(), x.copy(), np.zeros(N)
        y = x.copy()
        for _ in range(c["L"]):
            direction = grad(y)
            velocity = c["momentum"] * velocity + direction
            direction = direction + c["momentum"] * velocity
            direction = direction + c["decay"] * y
            direction = direction - gamma * (anchor - y)
            y = y - c["inner_lr"] * direction
            average = c["alpha"] * average + (1 - c["alpha"]) * y
        x = anchor - c["lr"] * (anchor - average)
        yield x


def torch(c, x):
    """Like lua, but gamma never moves, decay is in both loops, and the outer step has a momentum whose buffer is
    made from the first gradient of all."""
    grad, buffer = Gradients(), None
    while True:
        wasted = grad(x)
        if buffer is None:
            buffer = wasted.copy()
        anchor, average, velocity = x.copy(), x.copy(), np.zeros(N)
        y = x.copy()
        for _ in range(c["L"]):
            direction = grad(y) + c["decay"] * y
            velocity = c["momentum"] * velocity + direction
            direction = direction + c["momentum"] * velocity
            direction = direction - c["gamma"] * (anchor - y)
            y = y - c["inner_lr"] * direction
            average = c["alpha"] * average + (1 - c["alpha"]) * y
        direction = anchor - average + c["decay"] * anchor
        if c["outer_momentum"] > 0:
            buffer = c["outer_momentum"] * buffer + direction
            direction = direction + c["outer_momentum"] * buffer
        x = anchor - c["lr"] * direction
        yield x


def paper(c, x):
    """Algorithm 1, to the letter: no momentum and no decay, and the outer step is times gamma."""
    grad, t = Gradients(), 0
    while True:
        gamma = c["gamma"] * (1 + c["scoping"]) ** t
        t += 1
        y, average = x.copy(), x.copy()
        for _ in range(c["L"]):
            y = y - c["inner_lr"] * (grad(y) - gamma * (x - y))
            average = (1 - c["alpha"]) * average + c["alpha"] * y
        x = x - c["lr"] * gamma * (x - average)
        yield x


start = np.cos(np.arange(N))
record = dict(start=start.tolist(), cases=[])
for settings in SETTINGS:
    for program in (paper, lua, torch):
        steps = program(settings, start)
        trajectory = [next(steps).tolist() for _ in range(OUTER)]
        record["cases"].append(dict(settings, program=program.__name__, trajectory=trajectory))
print(json.dumps(record))
