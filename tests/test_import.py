"""Importing the library is quick and loads nothing heavy."""

import json
import subprocess
import sys

from helpers.environment import ROOT

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "transformers", "scipy", "ipywidgets", "IPython")


def import_in_a_new_python(line):
    """{"seconds": processor time of the import, "loaded": the heavy packages it brought}."""
    code = (
        f"import json, sys, time; start = time.process_time(); {line}; seconds = time.process_time() - start; "
        f"print(json.dumps(dict(seconds=seconds, loaded=[name for name in {HEAVY} if name in sys.modules])))"
    )
    return json.loads(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    )


def test_import_helpers_takes_under_a_fifth_of_a_second():
    seen = import_in_a_new_python("import helpers")
    assert seen["loaded"] == []
    assert seen["seconds"] < 0.2


def test_the_front_door_and_the_course_folder_load_nothing_heavy():
    modules = "from helpers import cli, doctor, environment; from helpers.ground import colab, errors"
    assert import_in_a_new_python(modules)["loaded"] == []


def test_the_standard_library_is_enough_for_the_front_door():
    """-S -I: no site-packages, as on a newcomer's machine."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from helpers import cli; sys.exit(cli.main([]))"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "opens the course in JupyterLab" in done.stdout
