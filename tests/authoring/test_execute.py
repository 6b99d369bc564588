"""The recorder on a small notebook.

The same bytes twice, nothing readers do not need, and nbval accepts and refuses it rightly.
"""

import base64
import io
import json
import os
import subprocess
import sys
import time
from xml.etree import ElementTree

import nbformat
import pytest
from PIL import Image

from helpers.ground.artifacts import ROOT
from helpers.ground.errors import CourseError
from tests.authoring import execute

NBVAL = [
    "--nbval",
    "--nbval-current-env",
    f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}",
    "--nbval-cell-timeout=300",
]
CELLS = {
    "setup": "from helpers.ground.runtime import setup\nfrom helpers.lesson import plots\n"
    "from helpers.lesson.claims import claim\ncourse = setup()",
    "figure": 'import torch\nlines = {"a": torch.rand(3, 5)}\n'
    'plots.curves(range(5), lines, xlabel="x", ylabel="y", caption="A line.")',
    "pyplot": "from matplotlib import pyplot as plt\nfig, ax = plt.subplots()\n"
    'ax.imshow(torch.rand(300, 300))\nplots.caption(fig, "Noise.")',
    "timing": "import time\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(2)):\n    pass\n"
    'start = time.time()\nprint("three words  ")\n'
    'print(f"{torch.rand(()):.3f} in {0.2:.1f} s")',
    "claim": 'claim("a half", 0.5, "> 0.4", slide="D1-02", paper=0.7, source="nobody")',
    "moving": "from IPython.display import clear_output\nfor i in range(3):\n"
    '    clear_output(wait=True)\n    print("frame", i)',
    "widget": 'import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    print("inside")\n'
    "out.clear_output()\nout",
}


def write(path, **changes):
    notebook = nbformat.v4.new_notebook(
        metadata={"widgets": {"x": 1}, "kernelspec": {"name": "gone", "display_name": "Gone"}}
    )
    notebook.cells = [nbformat.v4.new_markdown_cell("# 90 · Small")]
    for name, code in (CELLS | changes).items():
        notebook.cells.append(
            nbformat.v4.new_code_cell(
                code,
                metadata={
                    "tags": [name, "nbval-ignore-output"][: 1 + (name == "moving")],
                    "collapsed": True,
                    "execution": {"iopub.status.idle": "2026"},
                },
            )
        )
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The notebook's path and what two recordings of it stored.

    Its set-up cell is tested elsewhere: no stamp here.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(execute, "stamp", lambda notebook, name: notebook)
    patch.setenv("PYTHONPATH", str(ROOT))
    path, contents = write(tmp_path_factory.mktemp("nb") / "90_small.ipynb"), []
    for _ in range(2):
        execute.record(path)
        contents.append(path.read_bytes())
    yield path, contents
    patch.undo()


def outputs(notebook, tag):
    return next(cell.outputs for cell in notebook.cells if tag in cell.metadata.get("tags", []))


def test_a_moving_picture_keeps_its_last_frame(recorded):
    notebook = nbformat.reads(recorded[1][0].decode(), as_version=4)
    assert [output["text"] for output in outputs(notebook, "moving")] == ["frame 2\n"]


def test_two_recordings_are_the_same_bytes(recorded):
    first, second = recorded[1]
    assert first == second


def test_only_what_readers_need_is_stored(recorded):
    notebook = nbformat.reads(recorded[1][0].decode(), as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == execute.METADATA
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == list(
        range(1, len(CELLS) + 1)
    )
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    text = recorded[1][0].decode()
    assert execute.WIDGET not in text
    assert str(ROOT) not in text
    assert str(recorded[0].parent) not in text
    assert (
        outputs(notebook, "setup")[0].text
        == "small scale · packaged data · CPU, 2 threads · seed 0\n"
    )
    assert outputs(notebook, "timing")[0].text.startswith(
        "three words\n"
    )  # no bar, no trailing blanks
    assert [output.get("text") for output in outputs(notebook, "widget")][:1] == [
        "inside\n"
    ]  # kept, though it was cleared


def test_figures_have_their_caption_as_alternative_text_and_below_and_are_small(recorded):
    notebook = nbformat.reads(recorded[1][0].decode(), as_version=4)
    for tag, sentence in (("figure", "A line."), ("pyplot", "Noise.")):
        picture, caption = outputs(notebook, tag)  # each is stored once
        assert picture.metadata == {"image/png": {"alt": sentence}}
        assert caption.data["text/markdown"] == f"*{sentence}*"
        assert Image.open(io.BytesIO(base64.b64decode(picture.data["image/png"]))).width > 200
    assert len(recorded[1][0]) < 300_000


def test_claims_reach_the_ledger(recorded):
    from tests.authoring import claims_table

    (claim,) = claims_table.claims(nbformat.reads(recorded[1][0].decode(), as_version=4))
    assert claim == {
        "text": "a half",
        "measured": "0.5",
        "bound": "> 0.4",
        "mark": "✓",
        "slide": "D1-02",
        "paper": "0.7",
        "source": "nobody",
        "scale": "small",
        "data": "packaged",
    }


def test_a_notebook_that_fails_is_not_stored(recorded, tmp_path):
    path = write(
        tmp_path / "91_fails.ipynb", claim='claim("a half", 0.5, "> 0.6", slide="D1-02")', widget=""
    )
    before = path.read_bytes()
    with pytest.raises(
        CourseError, match=r"91_fails.ipynb was not stored: its code cell 5 failed"
    ) as caught:
        execute.record(path)
    assert "this claim does not hold: ✗ a half: 0.5 (> 0.6) · D1-02" in str(caught.value)
    assert path.read_bytes() == before


def test_nbval_accepts_it_and_refuses_a_broken_claim_and_another_text(recorded, tmp_path):
    text = recorded[1][0].decode()
    changed = {
        "digits": text.replace("a half: 0.5", "a half: 0.517"),  # another processor's: accepted
        "words": text.replace(r"three words\n", r"four words\n").replace("✓ a half", "≠ a half"),
        "claim": text.replace(r"0.5, \"> 0.4\"", r"0.5, \"> 0.6\"").replace("(> 0.4)", "(> 0.6)"),
    }
    assert len({text, *changed.values()}) == 4
    for name, content in changed.items():
        (tmp_path / f"{name}.ipynb").write_text(content, encoding="utf-8")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            str(tmp_path),
            "-c",
            os.devnull,
            f"--junitxml={tmp_path / 'report.xml'}",
            *NBVAL,
        ],
        cwd=tmp_path,
        timeout=600,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COURSE_TEST": "1"},
    )
    cases = ElementTree.parse(tmp_path / "report.xml").getroot().iter("testcase")
    failed = {
        (
            case.get("classname").split(".")[-2]
            if case.get("classname").endswith(".ipynb")
            else case.get("classname"),
            case.get("name"),
        )
        for case in cases
        if case.find("failure") is not None
    }
    assert failed == {("words", "Cell 3"), ("words", "Cell 4"), ("claim", "Cell 4")}


def test_an_unknown_lesson_is_said(capsys):
    assert execute.main(["99"]) == 1
    assert "No such lesson" in capsys.readouterr().out


FULL_RUN = """
import sys, pathlib
from tests.authoring import execute
execute.NOTEBOOKS = execute.claims_table.NOTEBOOKS = pathlib.Path(sys.argv[1])
execute.stamp = lambda notebook, name: notebook
execute.claims_table.write.__defaults__ = (execute.NOTEBOOKS,)
sys.exit(execute.main(["--full"]))
"""


def lesson(folder, name, code):
    cells = {"setup": CELLS["setup"], "turn": f"open('{name}.ran', 'a').write('x')"}
    claim = 'claim(f"at {course.scale}", 0.5, "> 0.4", slide="D1-02")'
    cells |= {"code": code, "claim": claim}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {name}")])
    notebook.cells += [nbformat.v4.new_code_cell(text) for text in cells.values()]
    nbformat.write(notebook, folder / f"{name}.ipynb")


def test_a_full_run_that_is_killed_goes_on(tmp_path):
    lesson(tmp_path, "01_one", "pass")
    lesson(tmp_path, "02_long", "import time; time.sleep(600)")
    lesson(tmp_path, "03_bad", "1 / 0")
    lesson(tmp_path, "04_last", "pass")
    env = os.environ | {"COURSE_DEVICE": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FULL_RUN, str(tmp_path)]
    begun = subprocess.Popen(command, cwd=ROOT, env=env)
    deadline = time.monotonic() + 120
    while not (tmp_path / "02_long.ran").exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    begun.kill()
    begun.wait()
    before = (tmp_path / "01_one.ipynb").read_bytes()
    lesson(tmp_path, "02_long", "pass")
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "03_bad.ipynb was not stored" in done.stdout
    assert "01_one: measured already" in done.stdout
    assert (tmp_path / "01_one.ran").read_text() == "x"  # run once
    assert (tmp_path / "01_one.ipynb").read_bytes() == before
    stored = json.loads((tmp_path / "claims_full.json").read_text(encoding="utf-8"))
    assert set(stored) == {"01_one", "02_long", "04_last"}
    assert stored["04_last"]["claims"] == {"at full": {"mark": "–", "measured": "0.5"}}
    assert stored["04_last"]["device"].startswith("CPU")


def test_a_full_run_wants_a_gpu(monkeypatch):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    with pytest.raises(CourseError, match="wants a GPU"):
        execute.main(["--full", "00"])


COLAB = """#!/bin/sh
echo "$1" >> "$CALLS"
case "$1" in
  exec) grep -q "record --full --here 01" && exit 1 ;;
  download) echo '{}' > "$5" ;;
esac
exit 0
"""


@pytest.mark.skipif(os.name == "nt", reason="Google's program runs on Linux and macOS")
def test_the_script_for_colab_brings_each_lessons_numbers_back(tmp_path):
    home, bin = tmp_path / "course", tmp_path / "bin"
    (home / "tests/authoring").mkdir(parents=True)
    (home / "notebooks").mkdir()
    script = home / "tests/authoring/colab_full.sh"
    script.write_bytes((ROOT / "tests/authoring/colab_full.sh").read_bytes())
    for name in ("00_a", "01_b", "02_c"):
        (home / f"notebooks/{name}.ipynb").touch()
    bin.mkdir()
    (bin / "colab").write_text(COLAB)
    (bin / "colab").chmod(0o755)
    calls = tmp_path / "calls"
    env = {"PATH": f"{bin}:{os.environ['PATH']}", "CALLS": str(calls), "PYTHON": "true"}
    run = lambda: subprocess.run(["bash", script], env=env, capture_output=True, text=True)
    (home / "tests/authoring/home.txt").write_text("")
    assert "python -m helpers home" in run().stdout
    (home / "tests/authoring/home.txt").write_text("ada/course\n")
    for again in (False, True):
        calls.write_text("")
        done = run()
        assert done.returncode == 0, done.stderr
        assert done.stdout == "lesson 01 was not measured\n"
        lessons = ["exec", "download"] * 3
        begin = ["new", "exec", "exec"] + ["upload"] * again  # what is measured already goes along
        assert calls.read_text().split() == [*begin, *lessons, "stop"]
