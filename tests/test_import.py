"""Importing the library is quick and loads nothing heavy."""

import json
import subprocess
import sys

from helpers.ground import ROOT

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "transformers", "scipy", "ipywidgets", "IPython")


def import_in_a_new_python(line):
    """{"seconds": processor time of the import, "loaded": the heavy packages it brought}."""
    code = (
        f"import json, sys, time; begun = time.process_time(); {line}; "
        f"heavy = [*{{*{HEAVY}}} & {{*sys.modules}}]; seconds = time.process_time() - begun; "
        "print(json.dumps(dict(seconds=seconds, loaded=heavy)))"
    )
    return json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True))


def test_import_helpers_takes_under_a_fifth_of_a_second():
    seen = import_in_a_new_python("import helpers")
    assert seen["loaded"] == []
    assert seen["seconds"] < 0.2


def test_the_front_door_and_the_ground_without_torch_load_nothing_heavy():
    modules = "from helpers import cli, doctor; from helpers.ground import colab, errors"
    assert import_in_a_new_python(modules)["loaded"] == []
