"""Record runner/testdata/networks: narrow versions of the networks of zoo.py as PyTorch's exporters write them, with the loss,
the gradients and the outputs of the modules in double precision.

    python models/fixtures_networks.py

What the files hold is explained in recording.py. Versions: see networks.py.
"""
import pathlib
import tempfile

import numpy as np
import onnx
import torch

import networks
import recording
import referee
import zoo

EXPORTS = ("torchscript eval", "torchscript training", "dynamo eval")


def parameters(module, model):
    """Functions that make initializers of parameters, by initializer; each parameter must be in one."""
    found = {}
    for t in model.graph.initializer:
        try:
            found |= networks.match(module, model, [t.name], whole=False)[0]
        except RuntimeError:
            pass
    return networks.match(module, model, list(found))


def record(name, case, how):
    with tempfile.TemporaryDirectory() as dir:
        path = pathlib.Path(dir) / "model.onnx"
        networks.export(case, how, path)
        model = recording.strip(onnx.load(path))
        onnx.save(model, path)
        want = None if how.endswith("training") else referee.run_runtime(path, networks.arrays(case))[0]
    module = networks.reference(case, model)
    module = networks.untie(module, parameters(module, model)[0])
    found, tensors = parameters(module, model)
    networks.adopt(found, tensors)
    output = networks.evaluate(case, module.eval()).detach().numpy()
    if want is not None:
        np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)
    loss = case.value(networks.evaluate(case, module.train()))
    loss.backward()
    zero = lambda p: np.zeros(p.shape) if p.grad is None else p.grad.numpy()
    order = [i.name for i in model.graph.input]
    recording.write(f"{name}_{how.replace(' ', '_')}", model, [networks.arrays(case)[n] for n in order], case.target.numpy(), case.loss,
                    loss.item(), {n: f(zero) for n, f in found.items()}, output)


def main():
    torch.set_num_threads(1)
    for name, entry in zoo.small.items():
        for how in EXPORTS:
            record(name, zoo.make(entry), how)


if __name__ == "__main__":
    main()
