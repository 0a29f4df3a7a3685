"""Writes the test cases of single operators of the installed onnx package, as ONNX's own runner makes them.

    python conformance.py DIR

makes DIR/node/*/{model.onnx,test_data_set_0}, DIR/light/*/... (whole networks, their weights all equal) and
DIR/opsets.json: the versions of every operator of the default domain, as the operator sets that brought them.
"""
import argparse
import glob
import json
import os
import shutil
import sys
import types
import warnings

warnings.filterwarnings("ignore")

import onnx
import onnx.backend.test
from onnx.backend.test import cmd_tools
from onnx.backend.test.case import node
from onnx.backend.test.runner import Runner


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    # generate-data writes the models of whole networks only; the cases of operators come from another collector.
    cmd_tools.model_test = types.SimpleNamespace(collect_testcases=node.collect_testcases)
    cmd_tools.generate_data(argparse.Namespace(output=out))
    light(os.path.join(out, "light"))
    versions = {}
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain == "":
            versions.setdefault(s.name, set()).add(s.since_version)
    with open(os.path.join(out, "opsets.json"), "w") as f:
        json.dump({"onnx": onnx.__version__, "operators": {k: sorted(v) for k, v in sorted(versions.items())}}, f)


def light(out):
    """The networks that the package has as files, with the input that its runner gives them."""
    for path in glob.glob(os.path.join(os.path.dirname(onnx.backend.test.__file__), "data", "light", "*.onnx")):
        name = os.path.splitext(os.path.basename(path))[0]
        data = os.path.join(out, name, "test_data_set_0")
        os.makedirs(data, exist_ok=True)
        shutil.copy(path, os.path.join(out, name, "model.onnx"))
        graph = onnx.load(path).graph
        weights = {i.name for i in graph.initializer}
        for i, x in enumerate(x for x in graph.input if x.name not in weights):
            value = onnx.numpy_helper.from_array(Runner.generate_dummy_data(x))
            onnx.save_tensor(value, os.path.join(data, f"input_{i}.pb"))
        for i in range(len(graph.output)):
            shutil.copy(f"{path.removesuffix('.onnx')}_output_{i}.pb", os.path.join(data, f"output_{i}.pb"))


main()
