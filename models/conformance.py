"""Writes the test cases of single operators of the installed onnx package, as ONNX's own runner makes them.

    python conformance.py DIR

makes DIR/node/*/{model.onnx,test_data_set_0} and DIR/opsets.json: the versions of every operator of the default
domain, as the operator sets that brought them.
"""
import argparse
import json
import os
import sys
import types
import warnings

warnings.filterwarnings("ignore")

import onnx
from onnx.backend.test import cmd_tools
from onnx.backend.test.case import node


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    # generate-data writes the models of whole networks only; the cases of operators come from another collector.
    cmd_tools.model_test = types.SimpleNamespace(collect_testcases=node.collect_testcases)
    cmd_tools.generate_data(argparse.Namespace(output=out))
    versions = {}
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain == "":
            versions.setdefault(s.name, set()).add(s.since_version)
    with open(os.path.join(out, "opsets.json"), "w") as f:
        json.dump({"onnx": onnx.__version__, "operators": {k: sorted(v) for k, v in sorted(versions.items())}}, f)


main()
