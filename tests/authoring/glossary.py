"""The glossary's terms, and the link at the place in the lessons where each is first used.

`record` and `python -m helpers home` set the links: a lesson says a term in its own words, and the
first one leads to GLOSSARY.md. Standard library only.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from tests.authoring.lessons import NOTEBOOKS

FILE = "GLOSSARY.md"
LINK = re.compile(r"\[([^\[\]]+)\]\(GLOSSARY\.md#[^)\s]+\)")
BLANK = "\x00"
NO_PROSE = re.compile(  # what a reader does not read as running text, or where a link would break
    r"^#+ Further reading.*|```.*?```|<details>.*?(?=\n\s*\n|</details>)|\$\$.*?\$\$|`[^`\n]+`"
    r"|\$[^$\n]+\$|<!--.*?-->|!?\[[^\]]*\]\([^)]*\)|<[^>\n]+>"
    r"|^#[^\n]*|^\|[^\n]*|\bFurther reading\b.*",
    re.S | re.M,
)


class Term(NamedTuple):
    """One entry of the glossary."""

    name: str  # its heading
    forms: tuple[str, ...]  # how the lessons say it, the heading first
    lesson: str  # the number of the lesson that first uses it
    ordinary: bool  # an ordinary word as well: lessons before may use it without this meaning

    @property
    def address(self) -> str:
        # names are ASCII: JupyterLab scrolls to no others
        return f"{FILE}#{self.name.replace(' ', '-')}"


@cache
def terms(folder=NOTEBOOKS) -> tuple[Term, ...]:
    """All entries; none where there is no glossary."""
    path = folder / FILE
    found = []
    for part in (
        re.split(r"^### ", path.read_text(encoding="utf-8"), flags=re.M)[1:]
        if path.exists()
        else []
    ):
        name, _, body = part.partition("\n")
        also = re.search(r"\*Also: ([^*]+?)\.?\*", body)
        place = re.search(r"(In this sense from|From) \[lesson (\d\d)\]", body)
        forms = (name, *(also[1].split(", ") if also else ()))
        found.append(
            Term(name, forms, place[2] if place else "", bool(place and place[1].startswith("In")))
        )
    return tuple(found)


def without_links(text: str) -> str:
    """The text as its author wrote it."""
    return LINK.sub(r"\1", text)


def first_places(texts: list[str]) -> dict[str, tuple[int, int, int]]:
    """{term: (number of the text, start, end)}: where each term is first said in these texts.

    Inside a longer term ("additive attention") a shorter one ("attention") does not count.
    """
    masked = [NO_PROSE.sub(lambda found: BLANK * len(found[0]), text) for text in texts]
    places = {}
    for form, name in sorted(
        ((form, term.name) for term in terms() for form in term.forms),
        key=lambda pair: -len(pair[0]),
    ):
        pattern = re.compile(rf"(?<![\w-]){re.escape(form)}(?:e?s)?(?![\w-])", re.I)
        for number, text in enumerate(masked):
            for found in pattern.finditer(text):
                places[name] = min(
                    places.get(name, (number, *found.span())), (number, *found.span())
                )
        masked = [pattern.sub(lambda found: BLANK * len(found[0]), text) for text in masked]
    return places


def link_terms(texts: list[str], lesson: str) -> list[str]:
    """A lesson's markdown cells with each of its terms linked where it is first said."""
    texts = [without_links(text) for text in texts]
    here = {term.name: term.address for term in terms() if term.lesson == lesson}
    places = [(place, here[name]) for name, place in first_places(texts).items() if name in here]
    for (number, start, end), address in sorted(places, reverse=True):
        text = texts[number]
        texts[number] = f"{text[:start]}[{text[start:end]}]({address}){text[end:]}"
    return texts
