"""Makes data/explanations: units put into words, and simulated from the words alone.

`python -m helpers make explanations`. COURSE_SPEAKER names a language model that speaks; without
it the questions go into a file of .checkpoints, and whoever answers them writes another.
"""

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from data.recipes.base import Run, table
from data.recipes.lm import SOURCES
from helpers.datasets import corpus
from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from helpers.sae.store import load, load_examples
from helpers.transformer import model as transformer
from notebooks.support.lesson10 import explainers
from notebooks.support.lesson10.autointerp import VERSION, Snippet, TokenTable, Written, marked
from notebooks.support.lesson10.units import Puzzle, Units

EACH = 24  # features, and as many neurons
EXPLAIN = """Each question is one unit: snippets of nine tokens with | between, and wherever it
fires its strength as <<token|1>> to <<token|9>>. Answer in a few words: on what does it fire?"""
SIMULATE = """Each question has words for a unit, and snippets as numbered tokens. Answer with the
snippets in which it fires, each as its number, a colon, a digit 0 to 9 a token, and with spaces
between; or with: none. Half of the questions have another unit's words."""


@dataclass(frozen=True)
class Sheet:
    """What a simulation is made from."""

    unit: str
    whose: str  # the unit whose words these are
    words: str
    texts: list[list[int]]  # the tokens of the hidden snippets


def make(run: Run) -> None:
    """Deal the units; ask for words; ask for digits, in mixed order; store both and the truth."""
    puzzles = _dealt(run)
    by_hand = not run.smoke and not os.environ.get("COURSE_SPEAKER")
    speaker = TokenTable() if by_hand or run.smoke else explainers.chosen()
    if by_hand:
        asked = [" ‖ ".join(marked(s, "|") for s in p.shown) for p in puzzles.values()]
        author, answers = _ask("explain", EXPLAIN, asked)
    else:
        author, answers = speaker.name, [speaker.explain(p.shown) for p in puzzles.values()]
    words = dict(zip(puzzles, answers, strict=True))
    sheets = _sheets(puzzles, words)
    if by_hand:
        simulator, answers = _ask("simulate", SIMULATE, [_question(sheet) for sheet in sheets])
        author = f"{author} {simulator}"
        guesses = [_read(answer, s) for answer, s in zip(answers, sheets, strict=True)]
    else:
        guesses = [[_line(speaker.simulate(s.words, t)) for t in s.texts] for s in sheets]
    digits = {(s.unit, s.whose == s.unit): guess for s, guess in zip(sheets, guesses, strict=True)}
    units = []
    for name, puzzle in puzzles.items():
        kind, unit = name.split()
        true = [_line(snippet.levels) for snippet in puzzle.hidden]
        own, swapped = digits[name, True], digits[name, False]
        row = Written(kind, int(unit), words[name], puzzle.places, true, own, swapped)
        units.append(row._asdict())
    run.save({"none": torch.zeros(1)}, version=VERSION, meta={"author": author, "units": units})
    said = "\n".join(
        f"* {u['kind'].removesuffix('s')} {u['unit']}: {u['words'][:300]}" for u in units
    )
    run.card(f"""# Units in words, and simulated from the words
{len(units) // 2} features of A/1 and as many neurons of lm_relu, drawn among those that fire at
every strength in Latin letters. Made by `python -m helpers make {run.name}`.

**Author:** {author}

For each unit: the words; places of twelve snippets in the held-out stream, nine tokens each, that
whoever wrote the words had not seen; a digit for each token, the true one (tenths of the largest
activation), the one simulated from these words, and the one simulated from another unit's words,
as a control. Spearman's ρ of true and simulated digits:

{table(measure(run))}

{said}

{SOURCES}""")


def measure(run: Run) -> dict:
    """The mean score of features and neurons, by their own and by swapped words."""
    units = [Written(**row) for row in run.load(version=VERSION)[1]["units"]]
    mean = lambda kind, guess: torch.tensor(
        [unit.score(guess) for unit in units if unit.kind == kind]
    ).mean()
    columns = {"own words": "simulated", "swapped words": "swapped"}
    return {
        title: {kind: round(mean(kind, guess).item(), 4) for kind in ("features", "neurons")}
        for title, guess in columns.items()
    }


def _dealt(run: Run) -> dict[str, Puzzle]:
    """{"features 12": its puzzle, …}, in mixed order."""
    rows = corpus.stream("heldout").contexts()[0].to(run.device)
    model = transformer.load("lm_relu", device=run.device)
    kinds = {
        "features": Units(model, rows, load_examples("a1"), load("a1", device=run.device)),
        "neurons": Units(model, rows, load_examples("lm_relu")),
    }
    rng, each = random.Random(0), 2 if run.smoke else EACH
    dealt = [(k, i) for k, units in kinds.items() for i in rng.sample(units.readable(), each)]
    rng.shuffle(dealt)
    return {f"{kind} {i}": kinds[kind].puzzle(i) for kind, i in dealt}


def _sheets(puzzles: Mapping[str, Puzzle], words: Mapping[str, str]) -> list[Sheet]:
    """Two for each unit, with its own words and with another's, in mixed order."""
    names = list(puzzles)
    swapped = zip(names, names[1:] + names[:1], strict=True)
    sheets = [
        Sheet(unit, whose, words[whose], [s.tokens for s in puzzles[unit].hidden])
        for unit, whose in [*zip(names, names, strict=True), *swapped]
    ]
    random.Random(1).shuffle(sheets)
    return sheets


def _ask(stage: str, how: str, questions: Sequence[str]) -> tuple[str, list[str]]:
    """Who answers, and the answers; while some are missing, CourseError says what to do."""
    folder = ROOT / ".checkpoints" / "explanations"
    asked, answered = folder / f"{stage}.txt", folder / f"{stage}-answers.txt"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{number}\t{text}" for number, text in enumerate(questions, 1)]
    asked.write_text("\n".join([how, *lines]), encoding="utf-8")
    text = answered.read_text(encoding="utf-8") if answered.exists() else ""
    answers = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    wanted = ["author", *(str(number) for number in range(1, len(questions) + 1))]
    if missing := [number for number in wanted if number not in answers]:
        raise CourseError(
            f"{len(missing)} answers are missing. Read {asked}, write {answered}: lines of number, "
            "tab, answer, and one that begins with author, tab. Then run this again."
        )
    return answers["author"], [answers[number] for number in wanted[1:]]


def _question(sheet: Sheet) -> str:
    texts = ["|".join(Snippet(tokens, []).pieces) for tokens in sheet.texts]
    return f"{sheet.words}  ‖  " + "  ‖  ".join(f"{n}: {t}" for n, t in enumerate(texts, 1))


def _read(answer: str, sheet: Sheet) -> list[str]:
    """Digits for every snippet out of such as "3:000090000 7:000000500"."""
    said = dict(part.split(":") for part in answer.split() if ":" in part)
    lines = [said.get(str(n), "") for n in range(1, len(sheet.texts) + 1)]
    return [line.ljust(len(t), "0")[: len(t)] for line, t in zip(lines, sheet.texts, strict=True)]


def _line(levels) -> str:
    return "".join(str(min(9, max(0, round(level)))) for level in levels)
