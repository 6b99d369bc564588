"""The form of every lesson, read from its file: what a reader sees without running anything."""

import copy
import io
import json
import re
import tokenize
from pathlib import Path

import pytest

from tests.authoring import execute
from tests.authoring import stamp as shared

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
MACHINE = re.compile(
    r"(?<![\w.:/])/(?:home|root|tmp|work|Users|usr|opt|var|mnt|content|private)/\S|\b[A-Z]:\\\w"
)


def text(part) -> str:
    return part if isinstance(part, str) else "".join(part)


def code_cells(lesson: dict) -> list[dict]:
    return [cell for cell in lesson["cells"] if cell["cell_type"] == "code"]


def outputs(lesson: dict) -> list[tuple[int, dict]]:
    return [
        (number, output)
        for number, cell in enumerate(code_cells(lesson), 1)
        for output in cell["outputs"]
    ]


def is_setup(cell: dict) -> bool:
    return "setup" in cell["metadata"].get("tags", [])


# ---- the rules: each yields a sentence a breach


def was_run_once_from_top_to_bottom(lesson):
    counts = [
        cell["execution_count"] for cell in code_cells(lesson)
    ]  # nbval compares nothing where there is no count
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}"


def has_no_errors(lesson):
    for number, cell in enumerate(code_cells(lesson), 1):
        for output in cell["outputs"]:
            if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get(
                "tags", []
            ):
                yield f"code cell {number} stores a {output['ename']}"
            if output.get("name") == "stderr":
                yield f"code cell {number} writes to stderr: {text(output['text'])[:60]}"


def was_stored_by_the_recorder(lesson):
    if lesson["metadata"] != execute.METADATA:  # no `widgets`: GitHub refuses such notebooks
        yield "its metadata is not the recorder's: run `python -m helpers record`"
    for cell in lesson["cells"]:
        if set(cell["metadata"]) - {"tags"} != (set(shared.FOLDED) if is_setup(cell) else set()):
            yield f"a cell's metadata are not the recorder's: {sorted(cell['metadata'])}"
    for number, output in outputs(lesson):
        if execute.WIDGET in output.get("data", {}):
            yield f"code cell {number} stores a widget's id"
        if output.get("metadata", {}).get("claim", {}).get("scale", "small") != "small":
            yield f"code cell {number} was not recorded at scale small"


def has_ids(lesson):
    ids = [cell.get("id") for cell in lesson["cells"]]
    if None in ids or len(set(ids)) < len(ids):
        yield "cells lack ids, or share them"


def opens_with_title_and_setup(lesson):
    first, title = code_cells(lesson)[0], text(lesson["cells"][0]["source"])
    if not is_setup(first) or text(first["source"]) != shared.setup_cell():
        yield "its first code cell is not the set-up cell"
    if "small scale · packaged data · CPU, 2 threads" not in "".join(
        text(o.get("text", "")) for o in first["outputs"]
    ):
        yield "the set-up cell does not show the line of setup()"
    if (
        lesson["cells"][0]["cell_type"] != "markdown"
        or not title.startswith("# ")
        or shared.COLAB_MARK not in title
    ):
        yield "its first cell is not the title with the Colab line"


def introduces_its_code(lesson):
    cells = lesson["cells"]
    code = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
    bare = [n for n, i in enumerate(code, 1) if i == 0 or cells[i - 1]["cell_type"] != "markdown"]
    if len(bare) > 0.15 * len(code):
        yield (
            f"{len(bare)} of {len(code)} code cells have no prose before them (at most 15 %): "
            f"{bare}"
        )


def has_short_cells(lesson):
    for number, cell in enumerate(code_cells(lesson), 1):
        lines = logical_lines(text(cell["source"]))
        if lines > 30 and not is_setup(cell):
            yield f"code cell {number} has {lines} logical lines (at most 30)"


def logical_lines(code: str) -> int:
    """Lines of code, and lines of comment alone; what the formatter wraps counts once."""
    kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(code).readline)]
    comments = sum(line.lstrip().startswith("#") for line in code.splitlines())
    return kinds.count(tokenize.NEWLINE) + comments


def describes_every_figure(lesson):
    for number, output in outputs(lesson):
        if (
            "image/png" in output.get("data", {})
            and not output["metadata"].get("image/png", {}).get("alt", "").strip()
        ):
            yield (
                f"a figure of code cell {number} has no alternative text: end it with "
                f"plots.caption(fig, text)"
            )
        if "image/svg+xml" in output.get("data", {}) or "image/jpeg" in output.get("data", {}):
            yield f"code cell {number} stores a picture that is not a PNG"


def makes_claims(lesson):
    if not any(
        re.search(r"^\s*claim\(", text(cell["source"]), re.M) for cell in code_cells(lesson)
    ):
        yield "it claims nothing"
    sentences = [
        output["metadata"]["claim"]["text"]
        for _, output in outputs(lesson)
        if "claim" in output.get("metadata", {})
    ]
    if len(set(sentences)) < len(sentences):  # the ledger joins the two scales by sentence
        yield "two claims have the same sentence"


def leaves_exercises_to_the_learner(lesson):
    asked = [
        cell
        for cell in code_cells(lesson)
        if re.search(r"^check\.\w+\(", text(cell["source"]), re.M)
    ]
    if not asked:
        yield "it has no exercise"
    for cell in asked:
        if "not answered yet" not in "".join(
            text(output.get("text", "")) for output in cell["outputs"]
        ):
            yield f"an exercise is not recorded as unanswered: {text(cell['source'])[-60:]!r}"
    if sum("<details>" in text(cell["source"]) for cell in lesson["cells"]) < len(asked):
        yield "some exercises have no folded hints"


def writes_folds_in_html(lesson):
    """Markdown beside a fold's tags, without an empty line between, is shown as its signs."""
    for cell in lesson["cells"]:
        for part in re.split(r"\n\s*\n", text(cell["source"])):
            if part.lstrip().startswith("<details") and (
                found := re.search(r"\*\*[^*\n]+\*\*|`[^`\n]+`|\]\([^)\n]+\)", part)
            ):
                yield f"a fold shows {found[0][:40]} as it is written: use <b>, <code> or <a>"


def holds_no_control_characters(lesson):
    """What is left of a formula's \\text, \\big or \\frac where a string was not raw."""
    for cell in lesson["cells"]:
        if found := re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text(cell["source"])):
            yield f"cell {cell.get('id')} holds the character {found[0]!r}"


def names_no_machine(lesson):
    for number, output in outputs(lesson):
        shown = text(output.get("text", "")) + "".join(
            text(v) for k, v in output.get("data", {}).items() if k.startswith("text/")
        )
        if found := MACHINE.search(shown):
            yield (
                f"code cell {number} prints a path of the machine: "
                f"{shown[found.start() : found.start() + 40]!r}"
            )


def ends_with_feedback(lesson):
    if "board_view(feedback(" not in text(lesson["cells"][-1]["source"]):
        yield "its last cell is not the board of three questions"


RULES = [
    was_run_once_from_top_to_bottom,
    has_no_errors,
    was_stored_by_the_recorder,
    has_ids,
    opens_with_title_and_setup,
    introduces_its_code,
    has_short_cells,
    describes_every_figure,
    makes_claims,
    leaves_exercises_to_the_learner,
    writes_folds_in_html,
    holds_no_control_characters,
    names_no_machine,
    ends_with_feedback,
]
LESSONS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_form(path, rule):
    assert list(rule(json.loads(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_size(path):
    assert path.stat().st_size < 1_200_000


# ---- each rule can be broken: a lesson that keeps all of them, and one change a rule


def good_lesson() -> dict:
    def code(source, count, *outputs, tags=()):
        return {
            "cell_type": "code",
            "id": f"c{count}",
            "metadata": {"tags": list(tags), **shared.FOLDED} if tags else {},
            "source": source,
            "execution_count": count,
            "outputs": list(outputs),
        }

    def prose(source, name):
        return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}

    def stream(printed):
        return {"output_type": "stream", "name": "stdout", "text": [printed]}

    figure = {
        "output_type": "display_data",
        "data": {"image/png": "", "text/plain": "<figure>"},
        "metadata": {"image/png": {"alt": "A line."}},
    }
    claim = {
        "output_type": "display_data",
        "data": {"text/plain": "✓ a"},
        "metadata": {"claim": {"text": "a", "scale": "small"}},
    }
    return {
        "metadata": copy.deepcopy(execute.METADATA),
        "cells": [
            prose(f"# 90 · Good\n\n{shared.COLAB_MARK}", "m1"),
            code(
                shared.setup_cell(),
                1,
                stream("small scale · packaged data · CPU, 2 threads · seed 0\n"),
                tags=["setup"],
            ),
            prose("A figure.", "m2"),
            code("plots.bars(...)", 2, figure),
            prose("So:", "m3"),
            code("claim('a', 1, '> 0')", 3, claim),
            prose("Exercise", "m4"),
            code("check.rank(rank)", 4, stream("not answered yet\n")),
            prose("<details>", "m5"),
            code('board_view(feedback("90"))', 5, stream("[a board]\n")),
        ],
    }


BREACHES = {
    was_run_once_from_top_to_bottom: lambda cells: cells[3].update(execution_count=None),
    has_no_errors: lambda cells: cells[3]["outputs"].append(
        {"output_type": "error", "ename": "ValueError"}
    ),
    was_stored_by_the_recorder: lambda cells: cells[3]["metadata"].update(execution={}),
    has_ids: lambda cells: cells[3].update(id="m1"),
    opens_with_title_and_setup: lambda cells: cells[1].update(source="course = setup()"),
    introduces_its_code: lambda cells: cells.pop(2),
    has_short_cells: lambda cells: cells[3].update(source="x\n" * 30 + "x"),
    describes_every_figure: lambda cells: cells[3]["outputs"][0].update(metadata={}),
    makes_claims: lambda cells: cells[5].update(source="print(1)"),
    leaves_exercises_to_the_learner: lambda cells: cells[7]["outputs"][0].update(text=["✓\n"]),
    writes_folds_in_html: lambda cells: cells[8].update(source="<details>**b**"),
    holds_no_control_characters: lambda cells: cells[4].update(source="$\big(x$"),
    names_no_machine: lambda cells: cells[7]["outputs"].append(
        {"output_type": "stream", "text": ["saved in /home/ada/x.png"]}
    ),
    ends_with_feedback: lambda cells: cells[-1].update(source="1"),
}


def test_a_good_lesson_breaks_no_rule():
    assert [breach for rule in RULES for breach in rule(good_lesson())] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_sees_its_breach(rule):
    lesson = good_lesson()
    BREACHES[rule](lesson["cells"])
    assert [other.__name__ for other in RULES if list(other(lesson))] == [rule.__name__]
