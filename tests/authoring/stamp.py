"""What all notebooks share: the set-up cell, the Colab line, links, and the public address.

`python -m helpers home OWNER/REPO` writes the address into home.txt beside this file, and from
there into every notebook and the README. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote

from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from tests.authoring import glossary, teaching_tables
from tests.authoring.lessons import LESSONS, write

HOME_FILE = Path(__file__).parent / "home.txt"  # OWNER/REPO; empty until `home` was called
COLAB_MARK = (
    "<!-- colab -->"  # ends the line that `stamp` writes: a line begun by it renders nothing
)
# round what `stamp_all` writes into the README
README_MARKS = "<!-- {0}: written by `python -m helpers home` -->\n", "<!-- /{0} -->"
COLAB = "https://colab.research.google.com/github/{0}/blob/main/notebooks/{1}.ipynb"
PICTURES = "notebooks/pictures"  # as the README sees them
SITE = "https://{}.github.io/{}/"  # where GitHub puts what `python -m helpers site` makes

SETUP_CELL = """\
# @title Set-up: run this cell first { display-mode: "form" }
import pathlib, subprocess, sys

home, here = "{home}", pathlib.Path.cwd()
places = (here, *here.parents, here / "course")
root = next((p for p in places if (p / "helpers/ground").is_dir()), here / "course")
if home and not root.exists():  # in Colab
    subprocess.run(["git", "clone", "--quiet", "--depth=1", home, str(root)])
if not (root / "helpers/ground").is_dir():
    todo = "it has no public address yet: open this notebook inside its folder."
    if home:
        todo = f"check the connection, delete {root} if it exists, run this cell again."
    error = FileNotFoundError(f"The course could not be fetched: {todo}")
    error._render_traceback_ = lambda: [str(error)]  # shown without the lines above
    raise error
if "helpers.ground" not in sys.modules:
    sys.modules.pop("helpers", None)  # another package of this name
sys.path.insert(0, str(root))
from helpers.ground.colab import complete

complete()  # in Colab: installs what is missing, and changes nothing else
from helpers.ground.runtime import setup
from helpers.lesson.claims import claim

course = setup()"""
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # in Colab, in JupyterLab


# ---- the public address ----
def home() -> str:
    """OWNER/REPO, or an empty string while the course has no public address."""
    return HOME_FILE.read_text(encoding="utf-8").strip() if HOME_FILE.exists() else ""


def site() -> str:
    """The address of the lessons as web pages, or an empty string."""
    return SITE.format(*home().split("/")) if home() else ""


def setup_cell() -> str:
    """The text of the first code cell of every lesson."""
    return SETUP_CELL.replace("{home}", f"https://github.com/{home()}" if home() else "")


def badge(kind: str, name: str = "", folder: str = "pictures") -> str:
    """A picture of a button that leads to a lesson in Colab ("colab"), or to it as a page ("page").

    name: the file's stem; "" for the first page. The picture lies in `folder`, not on another host.
    """
    words = {"colab": "Open in Colab", "page": "Read as a web page"}[kind]
    page = f"{site()}{name}.html" if name else site()
    address = COLAB.format(home(), name) if kind == "colab" else page
    return f"[![{words}]({folder}/{kind}.svg)]({address})"


def colab_line(name: str) -> str:
    """The line under a lesson's title that opens it in Colab or as a page; name: its stem."""
    if home():
        return f"{badge('colab', name)} {badge('page', name)} {COLAB_MARK}"
    command = "`python -m helpers home OWNER/REPO` writes it"
    return f"*Colab: this copy has no public address yet ({command}).* {COLAB_MARK}"


def stamp(notebook: dict, name: str) -> dict:
    """Write the set-up cell (tag `setup`), the Colab line (first cell) and links, in place.

    Works on what nbformat reads and on plain JSON; a text stays one string or a list of lines.
    Returns the notebook; CourseError where it has no place for them.
    """
    cells = notebook["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    tagged = [cell for cell in code if "setup" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1 or tagged[0] is not code[0]:
        raise CourseError(
            f"{name}: its first code cell, and only this one, has to carry the tag `setup`."
        )
    set_text(tagged[0], setup_cell())
    tagged[0]["metadata"] = {**FOLDED, "tags": ["setup"]}
    title = text_of(cells[0])
    if cells[0]["cell_type"] != "markdown" or not title.startswith("# "):
        raise CourseError(
            f"{name}: its first cell has to be markdown and begin with the title, `# ...`."
        )
    if COLAB_MARK not in title:
        first, _, rest = title.partition("\n")
        title = f"{first}\n\n{COLAB_MARK}\n" + (f"\n{rest.lstrip()}" if rest.strip() else "")
    set_text(cells[0], title.rstrip("\n"))
    prose = [cell for cell in cells if cell["cell_type"] == "markdown"]
    linked = glossary.link_terms([relative(text_of(cell)) for cell in prose], name[:2])
    for cell, text in zip(prose, linked, strict=True):
        set_text(cell, absolute(text))
    title = text_of(cells[0])  # at last: its badges lie beside the lesson, and have no address
    title = re.sub(f"^.*{COLAB_MARK}.*$", lambda _: colab_line(name), title, flags=re.M)
    set_text(cells[0], title)
    return notebook


def absolute(text: str) -> str:
    """A lesson's links to other files of the course, as addresses: Colab has these files nowhere.

    Unchanged while the course has no public address.
    """

    def address(link: re.Match) -> str:
        file = os.path.normpath(f"notebooks/{link[3]}").replace(os.sep, "/")
        return f"{link[1]}https://github.com/{home()}/{'raw' if link[2] else 'blob'}/main/{file}"

    pattern = r"((!?)\[(?:[^\]\[]|\[[^\]]*\])*\]\()((?![a-z]+:|#)[^)\s]+)"
    return re.sub(pattern, address, text) if home() else text


def relative(text: str) -> str:
    """What `absolute` made, undone: the same links inside the folder of notebooks."""

    def link(address: re.Match) -> str:
        file = ROOT / unquote(address[1].partition("#")[0])
        inside = os.path.relpath(ROOT / address[1], ROOT / "notebooks").replace(os.sep, "/")
        return f"]({inside}" if file.exists() else address[0]

    pattern = r"\]\(https://github\.com/[\w.-]+/[\w.-]+/(?:raw|blob)/main/([^)\s]+)"
    return re.sub(pattern, link, text)


def text_of(cell: dict) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def set_text(cell: dict, text: str) -> None:
    cell["source"] = text if isinstance(cell["source"], str) else text.splitlines(keepends=True)


# ---- python -m helpers home ----
def main(argv: list[str]) -> int:
    """The command `home OWNER/REPO`; without an argument: print the address, write it again."""
    parser = argparse.ArgumentParser(prog="python -m helpers home", description=main.__doc__)
    parser.add_argument("address", nargs="?", help="OWNER/REPO on GitHub, or its whole address")
    given = parser.parse_args(argv).address
    if given is None:
        none = (
            "The course has no public address yet: `python -m helpers home OWNER/REPO` writes it."
        )
        print(home() or none)
        stamp_all()
        return 0
    address = re.sub(r"^(https://)?(www\.)?github\.com/|(\.git)?/?$", "", given.strip())
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", address):
        raise CourseError(
            f"`{given}` is no address of a repository: it looks like OWNER/REPO, such as "
            "ada/interpretability."
        )
    write(HOME_FILE, address + "\n")
    stamped = stamp_all()
    print(
        f"The address is https://github.com/{address}; written into {', '.join(stamped)}. Commit "
        "and push these files."
    )
    return 0


def stamp_all(root: Path = ROOT) -> list[str]:
    """Writes the address into every notebook and the README; returns the names of these files."""
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    for path in paths:
        notebook = stamp(json.loads(path.read_text(encoding="utf-8")), path.stem)
        write_notebook(path, notebook)
    write_readme(root)
    return [*(path.name for path in paths), "README.md", "TEACHING.md", HOME_FILE.name]


def write_notebook(path: Path, notebook: dict) -> None:
    """As nbformat writes it."""
    write(path, json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def write_readme(root: Path = ROOT) -> None:
    """Bring the generated parts of the README and of TEACHING.md up to date."""
    readme = root / "README.md"
    write(readme, stamped_readme(readme.read_text(encoding="utf-8")))
    teaching_tables.write_teaching(root / "notebooks")


def stamped_readme(text: str) -> str:
    """The README with its generated parts, the addresses and the lessons, as of now."""
    pages = f"{badge('page', '', PICTURES)} They are at {site()}"
    pages = pages if home() else "This copy has no public address yet."
    parts = {"colab": colab_paragraph(), "site": pages, "lessons": lesson_table()}
    for name, part in parts.items():
        begin, end = (mark.format(name) for mark in README_MARKS)
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{part}\n{end}{rest.partition(end)[2]}"
    return text


def lesson_table() -> str:
    """A line a lesson; those that exist are linked."""
    rows = ["| | lesson | slides | minutes |", "|---|---|---|---|"]
    for lesson in LESSONS:
        title = (
            f"[{lesson.title}](notebooks/{lesson.name}.ipynb)"
            if lesson.path.exists()
            else f"{lesson.title} *(coming)*"
        )
        rows.append(f"| {lesson.number} | {title} | {lesson.slides} | {lesson.minutes} |")
    return "\n".join(rows)


def colab_paragraph() -> str:
    """What the README says about Colab."""
    if not home():
        return (
            "This copy has no public address yet, so Colab cannot fetch it. Put it on GitHub, then "
            "call `python -m helpers home OWNER/REPO` and push: that writes the links into this "
            "page and into every lesson."
        )
    there = [lesson for lesson in LESSONS if lesson.path.exists()]
    links = [f"{lesson.number} {badge('colab', lesson.name, PICTURES)}" for lesson in there]
    return (
        f"Open a lesson in Colab: {' · '.join(links)}. Run its first cell; the first time it takes "
        "about a minute."
    )
