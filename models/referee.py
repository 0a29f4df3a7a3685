"""What networks.py, keras_networks.py and sklearn_networks.py share: they have the program models/interop compute, train and
write a network that another program exported, and hold the results against that program's and onnxruntime's. A row of their
tables has the largest differences, which must be below LIMIT:

    outputs   in inference mode, before training, from onnxruntime's (from the other program's where the file is in training
              mode), as a part of max(1, |output|)
    loss      in double precision and training mode without dropout, from the other program's in double precision, as a part of it
    gradient  the same; an element of a gradient as a part of the largest of its tensor, or of FLOOR of the largest of all
    float32   the gradient in single precision, as a part of its length, or of FLOOR of the longest: for information
    SGD       the change of the weights in three steps of SGD in double precision, from the other program's, as a part of its length
    single    the same in single precision, as `train` computes it, apart from rounding the weights at each step
    theirs    the same of the other program in single precision. Fresh networks of many BatchNorms and ReLUs amplify rounding: a ReLU
              that switches moves all gradients below it. single may be SLACK times as far off as this
    written   outputs of the trained file, from onnxruntime's of that file, which onnx.checker passes

Versions: onnx 1.23.2 (1.22.0 with TensorFlow) and onnxruntime 1.32.0.
"""
import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

LIMIT = {"outputs": 1e-4, "loss": 1e-4, "gradient": 1e-4, "SGD": 1e-4, "single": 1e-3, "written": 1e-4}
COLUMNS = ("outputs", "loss", "gradient", "float32", "SGD", "single", "theirs", "written")
FLOOR, SLACK = 1e-4, 10
STEPS = 3


class Refused(Exception):
    """The exporter cannot write the network, or writes it with dropout that draws its own numbers."""


@dataclasses.dataclass
class Reference:
    """What the other program computes, by the file's names of the trained tensors."""
    loss: float
    gradients: dict  # in double precision, like loss
    start: dict  # weights before STEPS of SGD
    double: dict  # and after them
    single: dict  # and in single precision


def session(path):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_runtime(path, inputs):
    """All outputs but those of strings; the maps of ZipMap as rows of numbers."""
    s = session(path)
    outputs = s.run(None, {i.name: inputs[i.name] for i in s.get_inputs()})
    outputs = [np.array([list(m.values()) for m in y], np.float32) if isinstance(y, list) else y for y in outputs]
    return [y for y in outputs if y.dtype != object]


def tensors(model):
    """The numbers of a file by their names. Those that ai.onnx.ml has in attributes go by the node's name and the attribute's."""
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for n in model.graph.node:
        if n.op_type == "Constant":
            found |= {n.output[0]: numpy_helper.to_array(a.t) for a in n.attribute if a.name == "value"}
        if n.domain == "ai.onnx.ml":
            found |= {f"{n.name}.{a.name}": np.array(a.floats, np.float32) for a in n.attribute if a.floats}
    return found


def compare(program, path, dir, inputs, target, reference, loss="cross-entropy", rate=0.05, output="", before=None):
    """The numbers of one row for a file. inputs: by name, in the file's order; output: the name of the one that is trained; before:
    the outputs, if onnxruntime's are not to be taken. reference gets the names that the program trains and makes a Reference."""
    case, out = dir / "case", dir / "out"
    case.mkdir(parents=True)
    out.mkdir()
    files = {f"input_{i}.pb": x for i, x in enumerate(inputs.values())} | {"target_0.pb": target}
    for name, x in files.items():
        (case / name).write_bytes(numpy_helper.from_array(np.ascontiguousarray(x)).SerializeToString())
    done = subprocess.run([program, "-loss", loss, "-lr", str(rate), "-steps", str(STEPS), "-output", output, path, case, out],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit {done.returncode}")
    params = json.loads((out / "result.json").read_text())
    loss64, params = params["loss64"], params["params"]
    want = reference([p["name"] for p in params])
    trained = tensors(onnx.load(out / "trained.onnx"))
    moved = {n: x - want.start[n] for n, x in want.double.items() if n in trained}
    trained64 = dict(read_flat(out / "trained64.bin", "<f8", params))
    row = {
        "outputs": furthest(read_outputs(out, "before"), run_runtime(path, inputs) if before is None else before),
        "loss": abs(loss64 - want.loss) / abs(want.loss),
        "gradient": gradient64(out, params, want.gradients),
        "float32": gradient32(out, params, want.gradients),
        "SGD": distance(moved, want.start, trained64, 2**-53),
        "single": distance(moved, want.start, trained, 2**-24),
        "theirs": distance(moved, want.start, want.single, 2**-24),
        "written": furthest(read_outputs(out, "after"), run_runtime(out / "trained.onnx", inputs)),
    }
    return {c: float(row[c]) for c in COLUMNS}


def read_outputs(dir, prefix):
    arrays = []
    while (path := dir / f"{prefix}_{len(arrays)}.pb").exists():
        arrays.append(numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())))
    return arrays


def furthest(got, want):
    """The largest difference of all outputs, as a part of max(1, |want|)."""
    for g, w in zip(got, want, strict=True):
        if g.shape != w.shape:
            raise RuntimeError(f"an output of shape {g.shape}, not {w.shape}")
    return max(float(np.max(np.abs(g - w) / np.maximum(1, np.abs(w)), initial=0)) for g, w in zip(got, want))


def distance(moved, start, trained, rounding):
    """Of the way from start to trained from that of `moved`, as a part of its length, apart from rounding at each step. A file of two
    classes may have the weights of both, one the negative of the other, where the program trains those of the second."""
    off = 0
    for name, way in moved.items():
        end = trained[name].ravel()
        off += max(0, np.linalg.norm(end - (start[name] + way).ravel()[-end.size:]) - STEPS * rounding * np.linalg.norm(end)) ** 2
    return (off / sum(np.linalg.norm(way) ** 2 for way in moved.values())) ** 0.5


def read_flat(path, dtype, params):
    flat, at = np.fromfile(path, dtype), 0
    for p in params:
        n = int(np.prod(p["shape"]))
        yield p["name"], flat[at:at + n].reshape(p["shape"])
        at += n
    assert at == len(flat)


def gradient64(out, params, want):
    largest = max(np.max(np.abs(g)) for g in want.values())
    return max(np.max(np.abs(g - want[n])) / max(np.max(np.abs(want[n])), FLOOR * largest)
               for n, g in read_flat(out / "gradient64.bin", "<f8", params))


def gradient32(out, params, want):
    longest = max(np.linalg.norm(g) for g in want.values())
    return max(np.linalg.norm(g - want[n]) / max(np.linalg.norm(want[n]), FLOOR * longest)
               for n, g in read_flat(out / "gradient32.bin", "<f4", params))


def cells(row):
    limit = LIMIT | {"single": max(LIMIT["single"], SLACK * row["theirs"])}
    return [f"{row[c]:.0e}" + ("!" if not row[c] <= limit.get(c, np.inf) else "") for c in COLUMNS]


def arguments(description):
    args = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--program", type=pathlib.Path, default="bin/interop")
    args.add_argument("--keep", type=pathlib.Path, help="leave the files in this new directory")
    args.add_argument("--debug", action="store_true", help="stop at the first failure with a traceback")
    args.add_argument("names", nargs="*")
    return args


def table(args, rows):
    """Print the table and exit with 1 if anything disagreed. rows: for each its name, how it was exported, and a function from the
    program and a directory to the numbers."""
    failed = 0
    print("| network | export | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (2 + len(COLUMNS)), flush=True)
    for name, how, row in rows:
        if args.names and name not in args.names:
            continue
        with tempfile.TemporaryDirectory() as dir:
            if args.keep:
                dir = args.keep / f"{name} {how}".replace(" ", "_")
                dir.mkdir(parents=True)
            try:
                text = cells(row(args.program.resolve(), pathlib.Path(dir)))
                failed += any("!" in c for c in text)
            except Refused as e:
                text = [str(e)]
            except Exception as e:
                if args.debug:
                    raise
                text, failed = [f"{type(e).__name__}: {e}".splitlines()[0][:400]], failed + 1
        print(f"| {name} | {how} | " + " | ".join(text) + " |", flush=True)
    sys.exit(1 if failed else 0)
