"""Check that files written by onnx-entropy are understood elsewhere. `make interop` runs it.

    python models/interop.py --bin bin/onnx-entropy [--keep DIR] [NAME ...]

Exports each network of export.py in each mode, and mnistconv by torch's default exporter, trains it for a few steps on
random data, and holds the trained file against onnx.checker and its predictions against onnxruntime's, within 1e-5.
NAME limits it to files whose names contain it. Needs torch, onnx, onnxruntime, onnxscript and numpy; written with torch
2.15.0, onnx 1.23.2, onnxruntime 1.32.0, onnxscript 0.7.2. Exit status 1 if anything disagreed.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

import export

TOLERANCE = 1e-5  # of max(1, |output|)
SAMPLES = 64


def write_data(dir, shape, rng):
    """Random float images, so that no scaling of bytes comes into it, with a trace of their class to learn."""
    dir.mkdir()
    for split in ("train", "test"):
        y = np.arange(SAMPLES) % 10
        x = rng.standard_normal((SAMPLES, *shape)) + 0.1 * y[:, None, None, None]
        np.save(dir / f"{split}-x.npy", x.astype(np.float32))
        np.save(dir / f"{split}-y.npy", y)


def run(binary, *args, cwd):
    done = subprocess.run([binary, *map(str, args)], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, args))}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")


def session(path):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def weights(path):
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def check(binary, model, data, dir):
    """Train `model` and compare. Returns the largest difference of an output in units of max(1, |output|)."""
    train = ["train", model, "--data", data, "--batch", 16, "--langevin-steps", 2, "--max-outer", 2]
    trained, outputs, x = dir / f"{model.stem}-trained.onnx", dir / f"{model.stem}-y.npy", data / "test-x.npy"
    run(binary, *train, "--out", trained, cwd=dir)
    run(binary, "predict", trained, "--input", x, "--out", outputs, cwd=dir)
    want, got = session(trained).run(None, {"input": np.load(x)})[0], np.load(outputs)
    if got.shape != want.shape:
        raise RuntimeError(f"predict gave shape {got.shape}, onnxruntime {want.shape}")
    before, after = weights(model), weights(trained)
    if before.keys() <= after.keys() and all(np.array_equal(before[n], after[n]) for n in before):
        raise RuntimeError("training left all weights as they were")

    if model.stem.endswith("_training"):  # the other way to write it; dropout keeps its outputs from being compared
        same = dir / f"{model.stem}-same.onnx"
        run(binary, *train, "--export", "same", "--out", same, cwd=dir)
        session(same).run(None, {"input": np.load(x)})
        nodes = [[n.op_type for n in onnx.load(p).graph.node] for p in (model, same)]
        if nodes[0] != nodes[1]:
            raise RuntimeError("--export same changed the nodes")
    worst = float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want))))
    return max(worst, new_head(binary, train, x, dir / f"{model.stem}-head.onnx"))


def new_head(binary, train, x, path):
    """The same with a head of 12 classes; the data have 10."""
    outputs = path.with_suffix(".npy")
    run(binary, *train, "--head", 12, "--out", path, cwd=path.parent)
    run(binary, "predict", path, "--input", x, "--out", outputs, cwd=path.parent)
    s = session(path)
    want, got = s.run(None, {"input": np.load(x)})[0], np.load(outputs)
    if got.shape != want.shape or s.get_outputs()[0].shape[1] != 12:
        raise RuntimeError(f"--head 12: predict gave shape {got.shape}, onnxruntime {want.shape}, the file states {s.get_outputs()[0].shape}")
    return float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want))))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--bin", type=pathlib.Path, required=True)
    args.add_argument("--keep", type=pathlib.Path, help="work in this new directory and leave it")
    args.add_argument("names", nargs="*")
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as dir:
        if args.keep:
            args.keep.mkdir(parents=True)
            dir = args.keep
        sys.exit(check_all(args.bin.resolve(), pathlib.Path(dir).resolve(), args.names))


def check_all(binary, dir, names):
    export.export_all(dir)
    (dir / "mnistconv_dynamo.onnx").write_bytes(export.export_dynamo(export.network("mnistconv"), export.NETWORKS["mnistconv"][1], dir))
    rng, failed = np.random.default_rng(0), 0
    for name, (_, shape) in export.NETWORKS.items():
        data = dir / f"data-{name}"
        write_data(data, shape, rng)
        for model in sorted(dir.glob(f"{name}_*.onnx")):
            if "-" in model.stem or names and not any(n in model.stem for n in names):
                continue
            try:
                worst = check(binary, model, data, dir)
                result = f"off by {worst:.1e}" + ("" if worst <= TOLERANCE else f", more than {TOLERANCE:.0e}")
                failed += not worst <= TOLERANCE
            except Exception as e:
                result, failed = f"failed: {e}", failed + 1
            print(f"{model.stem:24} {result}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    main()
