"""What a reader without a kernel gets in a notebook's place, before Sphinx sets it."""

from __future__ import annotations

import ast
import base64
import html
import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

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
PREDICT = '<div class="vote"></div>'
inline = MarkdownIt().renderInline
rendered = MarkdownIt().enable("table").render


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
    films = stored()
    known: dict[str, object] = {}
    waiting = after_votes(cells)
    for number, cell in enumerate(cells):
        text = stamp.text_of(cell)
        if cell["cell_type"] == "markdown":
            cell["source"] = prose(text, cell["id"], name, site) + asks(cells, number)
            continue
        cell["metadata"] = {"tags": ["waits"] if number in waiting else []}
        known |= constants(text)
        vote = vote_in(text, known, name)
        if vote:
            cell["source"] = without_vote(text) or "vote"
            cell["metadata"]["tags"] += ["remove-input"] * (cell["source"] == "vote")
        film = films.get(f"{name[:2]}-{cell['id']}")
        numbered = enumerate(cell["outputs"])
        outputs = [shown(out, f"{name[:2]}-{number}-{n}", site) for n, out in numbered]
        if film:
            outputs = [film_of(film, site)]
        elif vote:
            outputs = [*(out for out in outputs if out and "text" in out), html_output(vote)]
        cell["outputs"] = [out for n, out in enumerate(outputs) if out and out not in outputs[:n]]
    notebook["cells"] = cells
    return notebook


def prose(text: str, identity: str, name: str, site: Site) -> str:
    """A markdown cell: an anchor before its first heading, the authors' line off, links landed."""
    colab = f"[Open in Colab]({stamp.COLAB.format(stamp.home(), name)})" if stamp.home() else ""
    text = re.sub(f"^.*{stamp.COLAB_MARK}.*$", colab, text, flags=re.M)
    anchor, left = f'<span id="cell-{identity}"></span>\n\n', 1

    def before_heading(found: re.Match) -> str:
        nonlocal left
        left -= bool(found[1])
        return (anchor if found[1] and left == 0 else "") + found[0]

    return re.sub(r"```.*?```|^(#+ )", before_heading, site.linked(text), flags=re.S | re.M)


def is_question(cell: dict) -> bool:
    text = stamp.text_of(cell)
    if cell["cell_type"] == "markdown":
        return "**Predict first" in text
    return "choice_view(" in text and "import" not in text.partition("choice_view(")[0]


def asks(cells: list[dict], number: int) -> str:
    """What ends a markdown cell that asks for a prediction with nothing to click after it."""
    if not is_question(cells[number]) or any(map(is_question, cells[number + 1 : number + 2])):
        return ""
    return f"\n\n{PREDICT}\n"


def after_votes(cells: list[dict]) -> set[int]:
    """The numbers of the code cells whose outputs wait for a prediction: up to the fold that tells
    what there is to see, or the next cell that puts something out, and the claims right after it.
    """
    waiting: set[int] = set()
    for start in (n for n, cell in enumerate(cells) if is_question(cell)):
        ahead = range(start + 1, min(start + 9, len(cells)))
        stop = next((n for n in ahead if ends(cells[n])), len(cells))
        fold = next((n for n in ahead if ANSWER.search(stamp.text_of(cells[n]))), None)
        results = [n for n in ahead if is_result(cells[n]) and n < stop]
        first = [n for n in results if fold and n < fold < stop] or results[:1]
        waiting.update(first)
        for n in (n for n in results if first and n > first[-1]):
            if not only_claims(cells[n]):
                break
            waiting.add(n)
    return waiting


def ends(cell: dict) -> bool:
    return is_question(cell) or (
        cell["cell_type"] == "markdown" and stamp.text_of(cell).startswith("## ")
    )


def is_result(cell: dict) -> bool:
    """Whether a code cell put something out that is no tool and no exercise's line."""
    outputs = [
        out
        for out in cell.get("outputs", [])
        if NOT_ANSWERED not in "".join(out.get("text", ""))
        and not TOOL.match("".join(out.get("data", {}).get("text/plain", "")))
    ]
    return cell["cell_type"] == "code" and bool(outputs)


def only_claims(cell: dict) -> bool:
    return all("claim" in out.get("metadata", {}) for out in cell["outputs"])


# ---- votes
def constants(code: str) -> dict[str, object]:
    """What a cell's own top lines name: {name: text, number or list}."""
    found = {}
    for node in tree_of(code).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def tree_of(code: str) -> ast.Module:
    return ast.parse(re.sub(r"^([%!].*)$", r"pass  # \1", code, flags=re.M))


def call_in(tree: ast.Module) -> ast.Call | None:
    """The call of choice_view at the top of a cell."""
    for node in tree.body:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("choice_view"):
            return call
    return None


def without_vote(code: str) -> str:
    """A cell's code without the vote, which tells the answer; "" where only constants are left."""
    tree = tree_of(code)
    call = call_in(tree)
    rest = [node for node in tree.body if getattr(node, "value", None) is not call]
    if len(constants(code)) == len(rest):
        return ""
    lines = code.splitlines()
    return "\n".join(lines[: call.lineno - 1] + lines[call.end_lineno :]).strip()


def vote_in(code: str, known: dict, name: str) -> str:
    """The vote of a cell as HTML: readable without a script, to click with one. "" for none."""
    call = call_in(tree_of(code))
    if call is None:
        return ""

    def value(node: ast.expr):
        try:
            return known[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)
        except (KeyError, ValueError):
            raise CourseError(f"{name}: `{ast.unparse(node)}` of a vote is no constant.") from None

    given = dict(zip(("key", "question", "choices"), map(value, call.args), strict=False))
    given |= {word.arg: value(word.value) for word in call.keywords}
    right, letters = given["right"], "abcdefgh"
    items = "".join(f"<li>{inline(choice)}</li>" for choice in given["choices"])
    return (
        f'<div class="vote" data-right="{right}"><p><b>{inline(given["question"])}</b></p>'
        f'<ol type="a">{items}</ol><details><summary>The answer</summary><p>'
        f"({letters[right]}). {inline(given['why'])}</p></details></div>"
    )


# ---- outputs
def html_output(text: str) -> dict:
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}


def shown(output: dict, key: str, site: Site) -> dict | None:
    """One stored output as HTML, its picture a file; text stays text."""
    data = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
    if "image/png" in data:
        content = base64.b64decode(data["image/png"])
        (site.shown / f"{key}.png").write_bytes(content)
        return html_output(picture(f"{key}.png", output["metadata"]["image/png"]["alt"], content))
    if "text/html" in data:
        return html_output(data["text/html"])
    if "text/markdown" in data:
        text = re.sub(r"^#+ (.*)$", r"**\1**", data["text/markdown"], flags=re.M)
        return html_output(f'<div class="said">{rendered(text)}</div>')
    if tool := TOOL.match(data.get("text/plain", "")):
        if tool[1].startswith("a question"):
            return None
        if "feature explorer" in tool[1]:
            start = '<div class="explorer"><script type="application/json">'
            return html_output(f"{start}{EXPLORER}</script></div>")
        return html_output(TOOL_LINE.format("A picture of a tool", html.escape(tool[1])))
    if "claim" in output.get("metadata", {}):
        return html_output(f'<p class="claim">{html.escape(data["text/plain"])}</p>')
    if NOT_ANSWERED in "".join(output.get("text", "")):
        return None
    return output


def picture(name: str, alt: str, content: bytes) -> str:
    """An <img> with the size of its PNG, so that nothing moves while it loads."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    return (
        f'<img class="dark-light" src="shown/{name}" alt="{html.escape(alt)}" width="{width}" '
        f'height="{height}" loading="lazy">'
    )


def film_of(film: dict, site: Site) -> dict:
    """Stored frames behind one range."""
    for frame in film["frames"]:
        if "src" in frame:
            (site.shown / frame["src"]).write_bytes((FRAMES / frame["src"]).read_bytes())
    first = film["frames"][film["start"]]
    text = html.escape(json.dumps([film["values"], film["frames"]], ensure_ascii=False))
    if "src" in first:
        alt = html.escape(first["alt"])
        inside = f'<img class="dark-light" src="shown/{first["src"]}" alt="{alt}" loading="lazy">'
    else:
        inside = f"<pre>{html.escape(first['text'])}</pre>"
    return html_output(
        f'<div class="film" data-film="{text}">{inside}<p class="said">'
        f'{html.escape(first.get("alt", ""))}</p><label>{film["control"]} <input type="range" '
        f'min="0" max="{len(film["frames"]) - 1}" value="{film["start"]}"> '
        f"<output>{film['values'][film['start']]}</output></label>"
        + TOOL_LINE.format(f"{len(film['frames'])} stored pictures of a tool", film["control"])
        + "</div>"
    )


# ---- other pages
def front(readme: str) -> str:
    """The README as the first page: the lessons come before what it takes to run them."""
    readme = re.sub(r"<!--.*?-->\n?", "", readme)
    head, *parts = re.split(r"^(?=## )", readme, flags=re.M)
    lessons = [part for part in parts if part.startswith("## The lessons")]
    return head + "".join(lessons + [part for part in parts if part not in lessons])


def contents(lessons: list[str], others: list[str]) -> str:
    """The tables of contents, in the order of previous and next."""
    lists = {"Lessons": lessons, "Beside the lessons": others}
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n"
        for caption, names in lists.items()
    )


def slide_map(teaching: str) -> tuple[str, str]:
    """(the teachers' page without its map, the map as a page of its own)."""
    begin, end = "<!-- slides: written by", "<!-- /slides -->"
    table = teaching.partition(begin)[2].partition("\n")[2].partition(end)[0]
    title = "# The slides, and where they are run\n\nD1 is *Interpretability: Overview, "
    title += "Limitations, & Challenges*, D2 is *Mechanistic Interpretability*.\n\n"
    table = re.sub(r"^\| (D\d-\d\d) ", r'| <span class="slide">\1</span> ', table, flags=re.M)
    return re.sub(r"<!--.*?-->\n?", "", teaching), title + table


def claims(text: str, site: Site) -> str:
    """CLAIMS.md with one table in place of one a lesson, to be sorted by slide, sign and lesson."""
    head, *parts = re.split(r"^## ", text, flags=re.M)
    rows = []
    for part in parts:
        link = re.match(r"\[(\d\d)[^\]]*\]\(([^)]+)\)", part)
        for line in re.findall(r"^\| (D\d.*) \|$", part, flags=re.M):
            columns = line.replace("\\|", "∣").split(" | ")  # a bar that splits no table
            slide, sentence, paper, small, full, bound = columns
            sign, _, number = small.partition(" ")
            there = link[2] in site.names
            lesson = f'<a href="{Path(link[2]).stem}.html">{link[1]}</a>' if there else link[1]
            cells = (html.escape(cell) for cell in (sentence, paper, number, full, bound))
            rows.append("".join(f"<td>{cell}</td>" for cell in (slide, sign, lesson, *cells)))
    names = ("slide", "sign", "lesson", "sentence", "paper", "small", "full", "bound")
    heads = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    table = f"<table class='sortable table'><thead><tr>{heads}</tr></thead><tbody>\n{body}"
    head = re.sub(r"Written by .*? do not edit\. ", "", head, flags=re.S)
    return f"{head}\n{table}</tbody></table>\n"
