"""Records trajectories of torch.optim.SGD for TestSGDEqualsTorch: python sgd_torch.py > sgd_torch.json

The gradients are random numbers that are part of the record, so the test needs no model.
"""
import json
import torch

STEPS, N = 25, 6
CASES = [
    dict(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0),
    dict(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.01),
    dict(lr=0.05, momentum=0.9, nesterov=False, weight_decay=0.0),
    dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.0),
    dict(lr=0.05, momentum=0.5, nesterov=False, weight_decay=0.1),
    dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
]

torch.manual_seed(1)
start = torch.randn(N)
grads = torch.randn(STEPS, N)
record = dict(torch=torch.__version__, start=start.tolist(), grads=grads.tolist(), cases=[])
for case in CASES:
    # The second half of the weights has no decay, like biases.
    decayed = torch.nn.Parameter(start[: N // 2].clone())
    free = torch.nn.Parameter(start[N // 2 :].clone())
    settings = dict(case)
    decay = settings.pop("weight_decay")
    opt = torch.optim.SGD(
        [dict(params=[decayed], weight_decay=decay), dict(params=[free], weight_decay=0.0)], **settings
    )
    trajectory = []
    for g in grads:
        decayed.grad, free.grad = g[: N // 2].clone(), g[N // 2 :].clone()
        opt.step()
        trajectory.append(torch.cat([decayed.detach(), free.detach()]).tolist())
    record["cases"].append(dict(**case, trajectory=trajectory))
print(json.dumps(record))
