"""Every tool of every lesson, and the test that uses it: in a browser, driven from Python under
ipywidgets 8, and under Colab's 7.

`python tests/test_widgets.py` prints the list.
"""

import ast
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
BROWSER = ROOT / "tests" / "browser"
PLACEHOLDER = "run this cell to use it]"

# what makes a view: the tests that drive it under ipywidgets 8, and the one under 7
DRIVEN = {
    "playground": ("lesson/test_widgets.py", "a_playground"),
    "picture_input": ("lesson/test_widgets.py", "a_picture"),
    "board_view": ("lesson/test_widgets.py", "a_board"),
    "choice_view": ("lesson/test_widgets.py", "a_prediction"),
    "rating_view": ("lesson/test_widgets.py", "a_rating"),
    "weigh_view": ("support/test_lesson04.py", "a_text_to_weigh"),
    "rule_view": ("support/test_puzzle.py", "a_rule"),
    "feature_view": ("support/test_lesson11.py", "a_feature_explorer"),
}


class Tool(NamedTuple):
    """One view in one lesson."""

    lesson: str
    kind: str
    code: str  # of its call
    cell: dict

    @property
    def name(self) -> str:
        key = re.search(r"\"(\d\d\.[\w-]+)\"", self.code)
        return key[1] if key else re.sub(r"\s+", " ", self.code)[:50]


def called(node: ast.Call) -> str:
    return getattr(node.func, "id", None) or getattr(node.func, "attr", "")


def tools() -> list[Tool]:
    found = []
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code":
                calls = [
                    node
                    for node in ast.walk(ast.parse(source))
                    if isinstance(node, ast.Call) and called(node) in DRIVEN
                ]
                found += [
                    Tool(path.name[:2], called(node), ast.get_source_segment(source, node), cell)
                    for node in calls
                ]
    return found


def texts(path: Path) -> list[str]:
    """The texts by which a browser test finds its cells."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def users(tool: Tool) -> list[str]:
    """The browser tests that name this tool's call, or its key."""
    tests = [
        path
        for path in BROWSER.glob("test_*.py")
        if path.name in (f"test_lesson{tool.lesson}.py", "test_votes_and_boards.py")
    ]
    code = re.sub(r"^\w+\.", "", tool.code)  # widgets.choice_view(…)
    variable = re.match(r"\w+\((\w+)\)$", code)  # board_view(checklist)
    whole, source = re.sub(r"\s+", "", code), "".join(tool.cell["source"])
    alone = (
        sum(
            called(node) == tool.kind
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call)
        )
        == 1
    )

    def means_it(text: str, enough: int) -> bool:
        short = re.sub(r"\s+", "", re.sub(r"^(\w+ = )?(\w+\.)?", "", text))
        names_call = (
            len(short) >= len(tool.kind) + enough
            and short.startswith(f"{tool.kind}(")
            and whole.startswith(short)
        )
        return text == tool.name or (alone and names_call) or bool(variable and short == whole)

    return [
        path.name
        for path in tests
        if any(means_it(text, 1 if tool.lesson in path.name else 6) for text in texts(path))
    ]


ALL = tools()


@pytest.mark.parametrize(
    "tool", ALL, ids=lambda tool: f"{tool.lesson} {tool.kind} {tool.name[:30]}"
)
def test_every_tool_is_used_in_the_browser(tool):
    assert users(tool), f"no browser test uses {tool.code[:80]}"


@pytest.mark.parametrize(
    "tool", ALL, ids=lambda tool: f"{tool.lesson} {tool.kind} {tool.name[:30]}"
)
def test_every_tool_has_a_fallback_for_readers_without_a_kernel(tool):
    """The stored cell says what would be there, and shows the first picture, the text or the
    question."""
    outputs = tool.cell["outputs"]
    plain = ["".join(output.get("data", {}).get("text/plain", "")) for output in outputs]
    assert any(PLACEHOLDER in text for text in plain)
    shown = [output for output, text in zip(outputs, plain, strict=True) if PLACEHOLDER not in text]
    assert any(
        "image/png" in o.get("data", {})
        or "text/markdown" in o.get("data", {})
        or "text/html" in o.get("data", {})
        or o.get("text")
        or len("".join(o.get("data", {}).get("text/plain", ""))) > 40
        for o in shown
    )


@pytest.mark.parametrize("kind", sorted({tool.kind for tool in ALL}))
def test_every_kind_of_tool_is_driven_under_ipywidgets_8_and_7(kind):
    eight, seven = DRIVEN[kind]
    assert f"{kind}(" in (ROOT / "tests" / eight).read_text(encoding="utf-8")
    old = (ROOT / "tests" / "lesson" / "test_widgets7.py").read_text(encoding="utf-8")
    assert f"def {seven}(page)" in old
    assert f"{kind}(" in old
    assert old.count(seven) == 2  # it is defined, and in the list of those that are run


def test_no_view_is_unknown_here():
    """A function `..._view` or a class of views that nobody lists would be tested nowhere."""
    folders = (ROOT / "helpers" / "lesson" / "widgets", ROOT / "notebooks" / "support")
    files = [path for folder in folders for path in folder.rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    made = set(
        re.findall(r"^(?:def )?(\w+_view|playground|picture_input)(?:\(| = )", code, flags=re.M)
    )
    assert made == set(DRIVEN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_lesson_has_an_activity(path):
    assert any(tool.lesson == path.name[:2] for tool in ALL)


if __name__ == "__main__":
    for one in ALL:
        print(f"{one.lesson}  {one.kind:14} {one.name:52} {', '.join(users(one)) or 'NONE'}")
    sys.exit(any(not users(one) for one in ALL))
