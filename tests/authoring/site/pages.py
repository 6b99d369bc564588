"""What a reader without a kernel gets in a notebook's place, before Sphinx sets it."""

from __future__ import annotations

import ast
import base64
import html
import itertools
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from PIL import Image

from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from tests.authoring import stamp
from tests.authoring.lessons import NOTEBOOKS
from tests.authoring.site.frames import FRAMES, stored

EXPLORER = "@@features@@"  # build.py puts the explorer's data here
TOOL = re.compile(r"^\[(.+): run this cell to use it\]$")
NOT_ANSWERED = "not answered yet"
LINK = re.compile(
    r"```.*?```|`[^`\n]+`|(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(((?![a-z]+:|#)[^)\s]+)\)", re.S
)
ANSWER = re.compile(r"<details><summary>(What you should see|What came out)")
TOOL_LINE = (
    '<p class="tool">{} ({}), as it was when the lesson was run. To use the tool, open the '
    "lesson as a notebook.</p>"
)
PREDICT = '\n\n<div class="vote"></div>\n'


def slug(heading: str) -> str:
    """A heading's name in a link, as JupyterLab has it."""
    return heading.replace(" ", "-")


class Site(NamedTuple):
    """What is known while pages are written."""

    names: set[str]  # the pages' files
    shown: Path  # where pictures go

    def linked(self, text: str, folder: Path = NOTEBOOKS) -> str:
        """Links to pages of the site lead there, links to other files to the public address, or
        nowhere."""

        def land(found: re.Match) -> str:
            if found[3] is None:  # code
                return found[0]
            name, _, fragment = found[3].partition("#")
            file = os.path.relpath(folder / name, ROOT)
            page = "index.md" if file == "README.md" else Path(file).name
            if found[1]:
                return f"![{found[2]}](pictures/{Path(name).name})"
            if page in self.names:
                if fragment.startswith("cell-id="):
                    return f'<a href="{Path(page).stem}.html#cell-{fragment[8:]}">{found[2]}</a>'
                return f"[{found[2]}]({page}{'#' * bool(fragment)}{fragment})"
            address = f"https://github.com/{stamp.home()}/blob/main/{file}"
            return f"[{found[2]}]({address})" if stamp.home() else found[2]

        return LINK.sub(land, stamp.relative(text))


# ---- lessons
def lesson(notebook: dict, name: str, site: Site) -> dict:
    """A notebook as Sphinx gets it: pictures as files with their alternative text, votes to click.

    Its set-up cell and the authors' lines are left out. CourseError where a vote cannot be read.
    """
    cells = [c for c in notebook["cells"] if "setup" not in c["metadata"].get("tags", [])]
    waiting = after_votes(cells)
    known: dict[str, object] = {}
    for number, cell in enumerate(cells):
        text = stamp.text_of(cell)
        if cell["cell_type"] == "markdown":
            silent = is_question(cell) and not any(map(is_question, cells[number + 1 : number + 2]))
            cell["source"] = prose(text, cell["id"], name, site) + PREDICT * silent
            continue
        cell["metadata"] = {"tags": ["waits"] if number in waiting else []}
        vote, rest = vote_in(text, known, name)
        cell["source"] = rest or "vote"
        cell["metadata"]["tags"] += ["remove-input"] * (not rest)
        drawn = any({"image/png", "text/html"} & set(o.get("data", {})) for o in cell["outputs"])
        kind = "A picture of a tool" if drawn else "A tool"
        key = f"{name[:2]}-{number}"
        outputs = [shown(o, f"{key}-{n}", site, kind) for n, o in enumerate(cell["outputs"])]
        if film := stored().get(f"{name[:2]}-{cell['id']}"):
            outputs = [film_of(film)]
        elif vote:
            outputs = [*(out for out in outputs if out and "text" in out), html_output(vote)]
        cell["outputs"] = [out for n, out in enumerate(outputs) if out and out not in outputs[:n]]
    return {**notebook, "cells": cells}


def prose(text: str, identity: str, name: str, site: Site) -> str:
    """A markdown cell with an anchor, its links landed; in place of the authors' line a badge."""
    colab = stamp.badge("colab", name) if stamp.home() else ""
    text = re.sub(f"^.*{stamp.COLAB_MARK}.*$", colab, text, flags=re.M)
    return f'<span id="cell-{identity}"></span>\n\n{site.linked(text)}'


def is_question(cell: dict) -> bool:
    text = stamp.text_of(cell)
    if cell["cell_type"] == "markdown":
        return "**Predict first" in text
    return "choice_view(" in text and "import" not in text.partition("choice_view(")[0]


def after_votes(cells: list[dict]) -> set[int]:
    """The numbers of the code cells whose outputs wait for a prediction: up to the fold that tells
    what there is to see, or the first that puts something out, and the claims right after it.
    """
    ends = [n for n, c in enumerate(cells) if is_question(c) or stamp.text_of(c).startswith("## ")]
    waiting: set[int] = set()
    for start, stop in zip(ends, [*ends[1:], len(cells)], strict=True):
        if is_question(cells[start]):
            ahead = range(start + 1, min(stop, start + 9))
            results = [n for n in ahead if is_result(cells[n])]
            fold = next((n for n in ahead if ANSWER.search(stamp.text_of(cells[n]))), 0)
            first = max(1, sum(n < fold for n in results))
            claims = itertools.takewhile(lambda n: only_claims(cells[n]), results[first:])
            waiting.update(results[:first], claims)
    return waiting


def is_result(cell: dict) -> bool:
    """Whether a code cell put something out that is no tool and no exercise's line."""
    texts = ["".join(out.get("text", plain(out))) for out in cell.get("outputs", [])]
    return any(NOT_ANSWERED not in text and not TOOL.match(text) for text in texts)


def only_claims(cell: dict) -> bool:
    return all("claim" in out.get("metadata", {}) for out in cell["outputs"])


def vote_in(code: str, known: dict, name: str) -> tuple[str, str]:
    """A cell's vote as HTML, readable without a script ("" for none), and the code without it.

    The vote's code tells the answer, so that it is left out, and with it a cell of nothing but
    constants. `known` holds what earlier cells named, and learns what this one does.
    """
    tree = ast.parse(re.sub(r"^([%!].*)$", r"pass  # \1", code, flags=re.M))
    call, constants = None, 0
    for node in tree.body:
        if re.match(r"([\w.]+\.)?choice_view\(", ast.unparse(node)):
            call = node.value
        elif isinstance(node, ast.Assign | ast.AugAssign):
            with suppress(Exception):  # what the lesson computes is not known here
                exec(ast.unparse(node), {"__builtins__": {}}, known)
                constants += 1
    if call is None:
        return "", code
    call.func = ast.Name("choice_view")
    read = lambda key, question, choices, right, why: (question, choices, right, why)
    try:
        names = {"__builtins__": {}, "choice_view": read}
        question, choices, right, why = eval(ast.unparse(call), names, known)
    except NameError as error:
        raise CourseError(f"{name}: `{error.name}` of a vote is no constant.") from None
    lines = code.splitlines()
    rest = "\n".join(lines[: call.lineno - 1] + lines[call.end_lineno :]).strip()
    inline = MarkdownIt().renderInline
    items = "".join(f"<li>{inline(choice)}</li>" for choice in choices)
    vote = (
        f'<div class="vote" data-right="{right}"><p><b>{inline(question)}</b></p>'
        f'<ol type="a">{items}</ol><details><summary>The answer</summary><p>'
        f"({'abcdefgh'[right]}). {inline(why)}</p></details></div>"
    )
    return vote, rest if constants < len(tree.body) - 1 else ""


# ---- outputs
def plain(output: dict) -> str:
    return "".join(output.get("data", {}).get("text/plain", ""))


def html_output(text: str) -> dict:
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}


def shown(output: dict, key: str, site: Site, kind: str) -> dict | None:
    """One stored output as HTML, its picture a file; text stays text. None: nothing to show.

    kind: what a page without a kernel calls the cell's tool.
    """
    data = {form: "".join(text) for form, text in output.get("data", {}).items()}
    tool = TOOL.match(plain(output))
    if "image/png" in data:
        content = base64.b64decode(data["image/png"])
        (site.shown / f"{key}.png").write_bytes(content)
        size = [int.from_bytes(content[at : at + 4], "big") for at in (16, 20)]
        image = picture(f"shown/{key}.png", output["metadata"]["image/png"]["alt"], *size)
        return html_output(f'<a href="shown/{key}.png">{image}</a>')  # whole, on a phone
    if "text/html" in data:
        return html_output(data["text/html"])
    if "text/markdown" in data:
        text = re.sub(r"^#+ (.*)$", r"**\1**", data["text/markdown"], flags=re.M)
        return {**output, "data": {"text/markdown": text.replace("\n*no answer yet*\n", "")}}
    if tool and "feature explorer" in tool[1]:
        start = '<div class="explorer"><script type="application/json">'
        return html_output(f"{start}{EXPLORER}</script></div>")
    if "claim" in output.get("metadata", {}):
        return html_output(f'<p class="claim">{html.escape(plain(output))}</p>')
    if NOT_ANSWERED in "".join(output.get("text", "")) or (tool and "a question" in tool[1]):
        return None
    if tool:
        return html_output(TOOL_LINE.format(kind, html.escape(tool[1])))
    return output


def picture(src: str, alt: str, width: int, height: int) -> str:
    """An <img> with its size, so that nothing moves while it loads."""
    return (
        f'<img class="dark-light" src="{src}" alt="{html.escape(alt)}" width="{width}" '
        f'height="{height}" loading="lazy">'
    )


def film_of(film: dict) -> dict:
    """Stored frames behind one range; they lie in the site's _static."""
    frames, start, control = film["frames"], film["start"], film["control"]
    first = {"alt": "", **frames[start]}
    if "src" in first:
        size = Image.open(FRAMES / first["src"]).size
        inside = picture(f"_static/{first['src']}", first["alt"], *size)
    else:
        inside = f"<pre>{html.escape(first['text'])}</pre>"
    data = html.escape(json.dumps([film["values"], frames], ensure_ascii=False))
    widest = max(len(str(value)) for value in film["values"])  # or the range moves under a finger
    return html_output(
        f'<div class="film" data-film="{data}">{inside}<p class="said">{html.escape(first["alt"])}'
        f'</p><label>{control} <input type="range" max="{len(frames) - 1}" value="{start}"> '
        f'<output style="min-width: {widest}ch">{film["values"][start]}</output></label>'
        f"{TOOL_LINE.format(f'{len(frames)} stored pictures of a tool', control)}</div>"
    )


# ---- other pages
def front(readme: str, lessons: list[str], others: list[str]) -> str:
    """The README as the first page: the lessons come before what it takes to run them.

    It ends in the tables of contents, in the order of previous and next.
    """
    readme = re.sub(r"<!--.*?-->\n?", "", readme)
    head, *parts = re.split(r"^(?=## )", readme, flags=re.M)
    parts.sort(key=lambda part: not part.startswith("## The lessons"))
    for caption, names in {"Lessons": lessons, "Beside the lessons": others}.items():
        tree = "\n".join([f":hidden:\n:caption: {caption}\n", *names])
        parts.append(f"\n```{{toctree}}\n{tree}\n```\n")
    return head + "".join(parts)


def slide_map(teaching: str) -> tuple[str, str]:
    """(the teachers' page without its map, the map as a page of its own)."""
    before, table, after = re.split(r"<!-- slides: .*?-->\n|<!-- /slides -->", teaching)
    title = "# The slides, and where they are run\n\nD1 is *Interpretability: Overview, "
    title += "Limitations, & Challenges*, D2 is *Mechanistic Interpretability*.\n\n"
    wide = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n"  # or its tables do not fit
    teaching = f"{wide}{before}[A page of its own](slides.md)\n{after}"
    return re.sub(r"<!--.*?-->\n?", "", teaching), title + table


def claims(text: str) -> str:
    """CLAIMS.md with one table in place of one a lesson, to be sorted by slide, sign and lesson."""
    head, *parts = re.split(r"^## ", text, flags=re.M)
    rows = ["| slide | sign | lesson | sentence | paper | small | full | bound |", "|---" * 8 + "|"]
    for part in parts:
        number, address = re.match(r"\[(\d\d)[^\]]*\](\([^)]+\))", part).groups()
        made = re.findall(r"^\| (D\d.*?) \| (.*?) \| (.*?) \| (\S) (.*)$", part, flags=re.M)
        for slide, sentence, paper, sign, rest in made:
            rows.append(f"| {slide} | {sign} | [{number}]{address} | {sentence} | {paper} | {rest}")
    head = re.sub(r"Written by .*? do not edit\. ", "", head, flags=re.S)
    return "\n".join([head, '<div class="sortable">\n', *rows, "\n</div>\n"])
