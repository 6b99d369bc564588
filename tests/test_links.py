"""Every link of every page and lesson lands; the glossary is linked where a term is first said;
TEACHING knows every slide and board."""

import json
import re
from functools import cache
from urllib.parse import unquote

import pytest

from helpers.ground import ROOT
from tests.authoring import glossary, teaching_tables
from tests.authoring.lessons import LESSONS, NOTEBOOKS
from tests.authoring.stamp import text_of

PAGES = [
    ROOT / "README.md",
    *sorted(NOTEBOOKS.glob("*.md")),
    *sorted((ROOT / "tests").rglob("*.md")),
    *sorted((ROOT / "data").glob("*/README.md")),
]
THERE = [lesson for lesson in LESSONS if lesson.path.exists()]
COMING = {f"{lesson.name}.ipynb" for lesson in LESSONS if not lesson.path.exists()}
TEACHING = (NOTEBOOKS / "TEACHING.md").read_text(encoding="utf-8")
TERMS = glossary.terms()
by_number = pytest.mark.parametrize("lesson", THERE, ids=lambda lesson: lesson.number)


def prose_of(path) -> list[str]:
    """The markdown cells of a notebook, or the one text of a page."""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    return [
        text_of(cell)
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "markdown"
    ]


@cache
def anchors(path) -> set[str]:
    """What JupyterLab calls the headings of a page or a notebook, and a notebook's cells by their
    ids."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return {f"cell-id={cell['id']}" for cell in cells} | {
            heading.replace(" ", "-")
            for text in prose_of(path)
            for heading in teaching_tables.headings(text)
        }
    return {
        heading.replace(" ", "-")
        for text in prose_of(path)
        for heading in teaching_tables.headings(text)
    }


def links(path) -> list[str]:
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", "\n\n".join(prose_of(path)), flags=re.M | re.S)
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize(
    "path",
    [*PAGES, *(lesson.path for lesson in THERE)],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_link_lands(path):
    for link in links(path):
        if link.startswith(("https://", "http://")) or link in COMING:
            continue
        name, _, fragment = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link}: there is no {name}"
        assert ROOT in target.parents, f"{link} leaves the course's folder"
        assert fragment.isascii(), f"{link}: JupyterLab finds no heading with other letters"
        assert not fragment or fragment in anchors(target), (
            f"{link}: no heading of that name; there are {sorted(anchors(target))[:5]} …"
        )


def test_a_link_that_does_not_land_is_noticed(tmp_path):
    (tmp_path / "a.md").write_text(
        "## One heading\n[x](#One-heading) [y](#elsewhere) `[no](link)`\n", encoding="utf-8"
    )
    assert links(tmp_path / "a.md") == ["#One-heading", "#elsewhere"]
    assert anchors(tmp_path / "a.md") == {"One-heading"}


@pytest.mark.parametrize(
    "path", PAGES[:1] + [NOTEBOOKS / "TEACHING.md"], ids=lambda path: path.name
)
def test_pictures_are_small_and_described(path):
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose_of(path)[0])
    assert len(pictures) >= 2
    for alt, name in pictures:
        assert len(alt) > 30, f"{name} has no alternative text that would help anybody"
        assert (path.parent / name).stat().st_size < 300_000


# ---- the glossary
def test_the_glossary_is_in_order_and_says_something():
    names = [term.name for term in TERMS]
    assert names == sorted(names, key=str.lower)
    assert all(name.isascii() for name in names)
    assert len(names) == len(set(names)) >= 70
    for part in re.split(
        r"^### ", (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8"), flags=re.M
    )[1:]:
        name, _, meaning = part.partition("\n")
        meaning = re.sub(r"\*Also:.*|From \[.*|In this sense from.*", "", meaning)
        assert 30 < len(meaning) < 330, f"{name}: one or two plain sentences"


@cache
def said(lesson) -> set[str]:
    """The terms that a lesson uses."""
    return set(
        glossary.first_places([glossary.without_links(text) for text in prose_of(lesson.path)])
    )


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_the_lesson_behind_an_entry_is_its_first_use(term):
    assert term.lesson in {lesson.number for lesson in LESSONS}
    used = [lesson.number for lesson in THERE if term.name in said(lesson)]
    if not term.ordinary:  # an ordinary word may turn up before it means this
        assert not [number for number in used if number < term.lesson]
    assert (
        term.lesson in used
        or not next(one for one in LESSONS if one.number == term.lesson).path.exists()
    )


@by_number
def test_every_term_is_linked_where_it_is_first_said_and_only_there(lesson):
    texts = prose_of(lesson.path)
    assert texts == glossary.link_terms(texts, lesson.number), (
        "`python -m helpers home` sets the links"
    )
    linked = re.findall(r"\(GLOSSARY\.md#([^)]+)\)", "\n".join(texts))
    assert sorted(linked) == sorted(
        term.name.replace(" ", "-") for term in TERMS if term.lesson == lesson.number
    )


def test_where_a_term_may_be_linked_and_where_not(monkeypatch):
    made = [
        glossary.Term("map", ("map",), "01", False),
        glossary.Term("colour map", ("colour map",), "01", False),
        glossary.Term("new", ("new",), "02", False),
    ]
    monkeypatch.setattr(glossary, "terms", lambda: tuple(made))
    texts = [
        "# A map\n| map | `map` |\n```\nmap\n```\n[a map](x.md) and a colour map, then $map$ "
        "**maps**, new",
        "another map\n\n## Further reading\ncolour map",
    ]
    first, second = glossary.link_terms(texts, "01")
    assert first.endswith(
        "and a [colour map](GLOSSARY.md#colour-map), then $map$ **[maps](GLOSSARY.md#map)**, new"
    )
    assert first.count("GLOSSARY") == 2
    assert second == texts[1]
    assert glossary.link_terms([first, second], "01") == [
        first,
        second,
    ]  # set again, nothing changes
    assert glossary.link_terms([first], "03") == [texts[0]]  # not this lesson's: taken away


# ---- TEACHING
def test_every_slide_is_on_the_map():
    expected = [f"D1-{n:02}" for n in range(1, 25)] + [f"D2-{n:02}" for n in range(1, 29)]
    assert list(teaching_tables.titles()) == expected
    assert re.findall(r"^\| (D\d-\d\d) \|", TEACHING, flags=re.M) == expected
    for slide in expected:
        (row,) = re.findall(rf"^\| {slide} \|.*$", TEACHING, flags=re.M)
        assert ".ipynb#cell-id=" in row or "*(coming)*" in row, row


def test_a_section_is_in_the_cell_that_its_link_names():
    for lesson in THERE:
        texts = dict(teaching_tables.prose(lesson))
        for section in teaching_tables.sections(lesson):
            assert section.heading in teaching_tables.headings(
                texts[section.address.partition("#cell-id=")[2]]
            )


def test_every_slide_of_a_lesson_has_a_section_in_it_or_its_title():
    for lesson in THERE:
        ours = {
            slide
            for slide, (_, numbers) in teaching_tables.titles().items()
            if lesson.number in numbers
        }
        named = {slide for section in teaching_tables.sections(lesson) for slide in section.slides}
        assert ours - named <= {"D1-01", "D1-24", "D2-01", "D2-16"}, (
            f"{lesson.number}: only title and closing slides have no section"
        )


def test_the_generated_tables_are_up_to_date():
    assert teaching_tables.stamped(TEACHING) == TEACHING, "`python -m helpers home` writes them"


def test_every_board_has_its_answers_and_every_answer_its_board():
    boards = set()
    for lesson in THERE:
        code = "\n".join(
            text_of(cell)
            for cell in json.loads(lesson.path.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "code"
        )
        boards |= set(re.findall(r"\bBoard\(\s*\"([\w.-]+)\"", code))
    named = {
        key
        for key in re.findall(r"`(\d\d\.[\w-]+)`", TEACHING)
        if any(one.number == key[:2] for one in THERE)
    }
    assert named == boards
