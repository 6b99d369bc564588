"""What a folder of everybody's files says: a page an activity, an exercise, a lesson's feedback.

By random id; what exercises' checks said is there only from those who chose to keep it.
"""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from string import ascii_lowercase

from helpers.ground.errors import CourseError
from helpers.lesson.answers import Pooled, Record, activities, pool
from helpers.lesson.boards import ACTIVITY as BOARD
from helpers.lesson.boards import FEEDBACK, as_typed, on_the_board
from helpers.lesson.checks import ACTIVITY as EXERCISE
from helpers.lesson.checks import RIGHT

VOTE = "prediction"  # what widgets keep a vote's choice under: its place among the choices


def write(folder: str | Path) -> Path:
    """Write the pages into FOLDER/report; returns the list of them. CourseError without answers."""
    names = activities(folder)
    if not names:
        raise CourseError(f"There is no answer in {folder}: put everybody's files there first.")
    pages = {}
    for name in names:
        pooled = pool(folder, name)
        if name != EXERCISE:
            pages[name] = activity_page(name, pooled)
        for item, records in by_item(pooled.records).items():
            if name == EXERCISE:
                plain = "".join(letter if letter.isalnum() else "-" for letter in item)
                pages[f"{EXERCISE}-{plain}"] = exercise_page(item, records, pooled.left_out)
            elif name == BOARD and item.endswith(".feedback"):
                pages[item.replace(".", "-")] = feedback_page(item, records)
    home = Path(folder, "report")
    home.mkdir(exist_ok=True)
    for old in home.glob("*.md"):
        old.unlink()
    for name, text in pages.items():
        (home / f"{name}.md").write_text(text, encoding="utf-8", errors="replace")
    links = "\n".join(f"* [{name}]({name}.md)" for name in pages)
    (home / "README.md").write_text(f"# What the class answered\n\n{links}\n", encoding="utf-8")
    return home / "README.md"


def activity_page(name: str, pooled: Pooled) -> str:
    """Who answered what, item by item; on boards without what was taken back."""
    people = f"{pooled.people} {'person' if pooled.people == 1 else 'people'}, by random number."
    parts = [f"# {name}", " ".join([people, as_typed(pooled.left_out)]).strip()]
    for item, records in by_item(pooled.records).items():
        shown = {answer.id for answer in on_the_board(records, item)}
        rows = [r for r in records if name != BOARD or r.id in shown]
        parts += [f"## {as_typed(item)}", table(rows)]
    return "\n\n".join(parts) + "\n"


def feedback_page(item: str, records: list[Record]) -> str:
    """What the class said at a lesson's end, question by question."""
    said = on_the_board(records, item)
    parts = [f"# Lesson {item.partition('.')[0]}: before you go"]
    for question in FEEDBACK:
        lines = [f"- {as_typed(r.answer)}" for r in said if r.condition == question]
        parts += [f"## {question}", "\n".join(lines) or "*no answer yet*"]
    return "\n\n".join(parts) + "\n"


def exercise_page(item: str, records: list[Record], left_out: str = "") -> str:
    """Which sentences of the check how many people got, and who; and who got it right."""
    said: dict[str, list[str]] = {}
    for record in records:
        people = said.setdefault(str(record.answer), [])
        if record.person not in people:
            people.append(record.person)
    rows = sorted(said.items(), key=lambda row: (row[0] == RIGHT, -len(row[1]), row[0]))
    lines = [f"| {len(people)} | {as_typed(text)} | {', '.join(people)} |" for text, people in rows]
    kept = f"Of {len({record.person for record in records})} people who chose to keep it."
    kept = " ".join([kept, as_typed(left_out)]).strip()
    head = "| people | what the check said | who |\n|---|---|---|"
    return "\n\n".join([f"# Exercise {as_typed(item)}", kept, "\n".join([head, *lines])]) + "\n"


def by_item(records: Iterable[Record]) -> dict[str, list[Record]]:
    """{item: its records in their order}, sorted by item."""
    of = lambda record: record.item
    return {item: list(group) for item, group in groupby(sorted(records, key=of), key=of)}


def table(records: list[Record]) -> str:
    """A Markdown table of records; what people typed is never markup."""
    lines = [["person", "shown", "answer", "seconds"], ["---"] * 4]
    for r in records:
        seconds = "" if r.seconds is None else f"{r.seconds:g}"
        lines.append([r.person, as_typed(r.condition), as_typed(_text(r)), seconds])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(record: Record) -> str:
    answer = record.answer
    if isinstance(answer, dict):
        return "; ".join(f"{key}: {value}" for key, value in answer.items())
    if record.activity == VOTE and type(answer) is int and 0 <= answer < 26:
        return f"({ascii_lowercase[answer]})"  # as on the screen
    return "passed over" if answer is None else str(answer)
