"""`python -m helpers site`: the recorded lessons as a static site that asks nothing of the web.

Each notebook is copied, changed for a reader without a kernel (`pages.py`), and set by Sphinx. No
lesson is run. What is found wrong with the pages (`checks.py`) ends the command.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import io
import json
import re
import shutil
import tempfile
import time
from pathlib import Path

from docutils.nodes import make_id
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from tests.authoring import glossary, stamp, teaching_tables
from tests.authoring.lessons import LESSONS, NOTEBOOKS
from tests.authoring.site import checks, explorer, pages
from tests.authoring.site.frames import FRAMES

HERE = Path(__file__).parent
OUT = ROOT / "_site"
THEME = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "footer_content_items": [],
}
SETTINGS = {
    "extensions": ["myst_nb", "sphinx.ext.mathjax"],
    "nb_execution_mode": "off",
    "nb_render_markdown_format": "gfm",
    "myst_enable_extensions": ["dollarmath"],
    "myst_dmath_double_inline": True,  # a displayed formula inside a list
    "myst_heading_anchors": 4,
    "myst_heading_slug_func": "tests.authoring.site.pages.slug",
    "html_theme": "sphinx_book_theme",
    "html_theme_options": THEME,
    "html_title": "What does the network know?",
    "html_context": {"default_mode": "auto"},
    "html_favicon": str(HERE / "static/icon.svg"),
    "html_static_path": [str(HERE / "static"), str(FRAMES)],
    "html_css_files": ["site.css"],
    "html_js_files": [("site.js", {"defer": "defer"})],
    "html_copy_source": False,
    "html_use_index": False,
    "mathjax_path": "mathjax/tex-chtml.js",
}
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2/*", "input/tex/extensions/*")


def main(argv: list[str]) -> int:
    """Build the recorded lessons into a folder of web pages, and check these."""
    parser = argparse.ArgumentParser(prog="python -m helpers site", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="a folder (default: _site)")
    out = parser.parse_args(argv).out.resolve()
    start = time.perf_counter()
    build(out)
    faults = checks.of_site(out) + checks.contrast((HERE / "static/site.css").read_text("utf-8"))
    largest = max(out.glob("*.html"), key=lambda page: checks.weight(page, out))
    print(
        f"{len(list(out.glob('*.html')))} pages in {time.perf_counter() - start:.0f} s; the "
        f"largest, {largest.name}, has {checks.weight(largest, out) / 1e6:.1f} MB. Open "
        f"{out / 'index.html'}"
    )
    if faults:
        raise CourseError("\n".join(["The pages have faults:", *faults]))
    return 0


def build(out: Path, numbers: tuple[str, ...] = ()) -> None:
    """Write the site of all lessons, or of some, into `out`. CourseError for what Sphinx warns of.

    A folder that holds something else than a site stays as it is: CourseError.
    """
    if out.exists() and any(out.iterdir()) and not (out / ".buildinfo").exists():
        raise CourseError(f"{out} is not empty and holds no site: name another folder by --out.")
    there = (one for one in LESSONS if one.path.exists())
    chosen = [one for one in there if one.number in numbers or not numbers]
    warnings = io.StringIO()
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    with tempfile.TemporaryDirectory() as folder:
        source, shown, made = (Path(folder, name) for name in ("pages", "shown", "made"))
        write_pages(source, shown, chosen)
        inner = {"status": None, "warning": warnings, "freshenv": True}
        with patch_docutils(), docutils_namespace():  # or a second build warns of the first
            app = Sphinx(source, None, made, Path(folder, "trees"), "html", SETTINGS, **inner)
            app.connect("html-page-context", finish)
            app.build()
        shutil.copytree(shown, made / "shown")
        for file in (file for part in MATHJAX for file in package.glob(f"static/mathjax/{part}")):
            to = made / "_static" / file.relative_to(package / "static")
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)
        for file in {*made.rglob("*.map"), *made.rglob("fontawesome.js*")}:
            file.write_bytes(b"")  # the script has 1.6 MB: site.css takes the icons from their font
        shutil.rmtree(out, ignore_errors=True)  # not before: a build that breaks off spoils nothing
        shutil.copytree(made, out)
    if warnings.getvalue():
        raise CourseError(f"Sphinx warns:\n{warnings.getvalue()}")


def write_pages(source: Path, shown: Path, chosen: list) -> None:
    """The pages' sources: lessons, front page, slide map, glossary, claims, teachers' page."""
    shutil.copytree(NOTEBOOKS / "pictures", source / "pictures")
    shown.mkdir()
    others = ["slides.md", "CLAIMS.md", "GLOSSARY.md", "TEACHING.md"]
    site = pages.Site({*others, "index.md", *(one.path.name for one in chosen)}, shown)
    for lesson in chosen:
        notebook = json.loads(lesson.path.read_text(encoding="utf-8"))
        text = json.dumps(pages.lesson(notebook, lesson.name, site))
        (source / lesson.path.name).write_text(text, encoding="utf-8")
    texts = {name: (NOTEBOOKS / name).read_text(encoding="utf-8") for name in others[1:]}
    texts["CLAIMS.md"] = pages.claims(texts["CLAIMS.md"])
    texts["GLOSSARY.md"] = texts["GLOSSARY.md"].replace("\n### ", "\n## ")
    teaching = teaching_tables.stamped(texts["TEACHING.md"])
    texts["TEACHING.md"], texts["slides.md"] = pages.slide_map(teaching)
    readme = stamp.stamped_readme((ROOT / "README.md").read_text(encoding="utf-8"))
    names = [one.name for one in chosen], [Path(name).stem for name in others]
    texts["index.md"] = pages.front(readme, *names)
    for name, text in texts.items():
        text = site.linked(text, ROOT if name == "index.md" else NOTEBOOKS)
        (source / name).write_text(text, encoding="utf-8")


def finish(app, pagename: str, template: str, context: dict, doctree) -> None:
    """Sphinx's last step for a page: the glossary's words into its links, the explorer's data."""
    body = context.get("body") or ""
    meanings = glossary_meanings()
    mark = lambda found: f'data-meaning="{html.escape(meanings[found[1]])}" {found[0]}'
    body = re.sub(r'href="GLOSSARY\.html#([^"]+)"', mark, body)
    body = re.sub(r"\bD[12]-\d\d\b(?![^<]*>)", r'<span class="slide">\g<0></span>', body)
    if pages.EXPLORER in body:
        data = json.dumps(explorer.features(), ensure_ascii=False, separators=(",", ":"))
        body = body.replace(pages.EXPLORER, data.replace("</", "<\\/"))
    context["body"] = body


def glossary_meanings() -> dict[str, str]:
    """{a term's place in the glossary's page: its meaning in plain words}"""
    text = (NOTEBOOKS / glossary.FILE).read_text(encoding="utf-8")
    text = re.sub(r"\*Also:.*|(In this sense )?[Ff]rom \[lesson.*", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", text)
    entries = (part.partition("\n") for part in re.split(r"^### ", text, flags=re.M)[1:])
    return {make_id(name): meaning.strip() for name, _, meaning in entries}
