"""Records trajectories of torch.optim.Adam and AdamW for TestAdamEqualsTorch: python adam_torch.py > adam_torch.json

The gradients are random numbers that are part of the record, so the test needs no model.
"""
import json
import torch

STEPS, N = 25, 6
CASES = [
    dict(lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False),
    dict(lr=0.1, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.0, decoupled=False),
    dict(lr=0.01, betas=(0.0, 0.99), eps=1e-8, weight_decay=0.1, decoupled=False),
    dict(lr=0.02, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.5, decoupled=True),
]

torch.manual_seed(2)
start = torch.randn(N)
grads = torch.randn(STEPS, N)
grads[3:6, 0] = 0  # a weight without a gradient for a while
record = dict(torch=torch.__version__, start=start.tolist(), grads=grads.tolist(), cases=[])
for case in CASES:
    settings = dict(case)
    kind = torch.optim.AdamW if settings.pop("decoupled") else torch.optim.Adam
    # The second half of the weights has no decay, like biases.
    decayed = torch.nn.Parameter(start[: N // 2].clone())
    plain = torch.nn.Parameter(start[N // 2 :].clone())
    decay = settings.pop("weight_decay")
    optimizer = kind(
        [dict(params=[decayed], weight_decay=decay), dict(params=[plain], weight_decay=0.0)], **settings
    )
    trajectory = []
    for g in grads:
        decayed.grad, plain.grad = g[: N // 2].clone(), g[N // 2 :].clone()
        optimizer.step()
        trajectory.append(torch.cat([decayed, plain]).tolist())
    record["cases"].append(dict(case, trajectory=trajectory))
print(json.dumps(record))
