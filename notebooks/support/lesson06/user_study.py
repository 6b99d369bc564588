"""With and without an explanation: people judge a network's behaviour under three conditions.

`Round` is where one person stands, `round_view` shows it, `judge` pools a class. `simulated_class`
stands in where there is none; its records carry another activity's name, so they can never be
pooled with people's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from statistics import median
from typing import NamedTuple

import ipywidgets as widgets
import torch
from IPython.display import Markdown

from helpers.ground.errors import CourseError
from helpers.ground.stats import clustered_mean
from helpers.lesson.answers import Pooled, Record, Store
from helpers.lesson.rating import counterbalanced
from helpers.lesson.widgets.view import View, button
from notebooks.support.lesson06.figures import DIALS, question

ACTIVITY, SIMULATED = "with-and-without", "with-and-without-simulated"
CONDITIONS = ("prediction", "attribution", "queries")
HELPFUL = "helpful"  # the item under which a condition's rating is stored
REACH, TRIES = 1.0, 3  # the largest step; how many steps a person may try


@dataclass(frozen=True)
class Item:
    """One random network at one point: the dials, the output, and what a condition adds."""

    key: str
    dials: tuple[float, ...]  # the point
    output: float  # f there
    attribution: tuple[float, ...]  # Integrated Gradients of each dial, baseline 0
    rises: bool  # the truth: the mean change of f over all steps of A up to REACH
    change: Callable[[float], float] = field(repr=False)  # of the output, for a step of A


@cache
def items(count: int = 12, roughness: float = 2.0, seed: int = 0) -> tuple[Item, ...]:
    """The activity's networks: the first `count` / 2 that rise and as many that fall, in threes.

    Nothing else selects them; whether an attribution points the right way is left to chance.
    """
    from notebooks.support.lesson06.simulation import average_change, trial  # not for the view

    generator = torch.Generator().manual_seed(seed)
    queues = {True: [], False: []}
    while min(map(len, queues.values())) < count / 2:
        f, x = trial(1, roughness=roughness, generator=generator, features=len(DIALS))
        queues[bool(average_change(f, x, 0, reach=REACH) > 0)].append((f, x))
    turns = (place // 3 % 2 == 0 for place in range(count))
    chosen = [(rises, *queues[rises].pop(0)) for rises in turns]
    return tuple(_item(f"network-{i:02}", *one) for i, one in enumerate(chosen, 1))


def _item(key: str, rises: bool, f: Callable, x: torch.Tensor) -> Item:
    from notebooks.support.lesson06.attributions import integrated_gradients

    attribution = integrated_gradients(f, x, torch.zeros_like(x))[0].tolist()

    def change(step: float) -> float:
        return (f(x + torch.tensor([step, 0.0, 0.0])) - f(x)).item()

    return Item(key, tuple(x[0].tolist()), f(x).item(), tuple(attribution), rises, change)


def plan(person: str) -> list[tuple[str, str]]:
    """A person's steps, (item or HELPFUL, condition): a block a condition, rated at its end.

    Which condition meets which item, and the order of the blocks, are counterbalanced over people.
    """
    pairs = counterbalanced([item.key for item in items()], CONDITIONS, person)
    random.Random(person).shuffle(pairs)
    orders = list(permutations(CONDITIONS))
    steps = []
    for condition in orders[int(person, 16) // len(CONDITIONS) % len(orders)]:
        steps += [pair for pair in pairs if pair[1] == condition]
        steps.append((HELPFUL, condition))
    return steps


class Round:
    """One person's way through the plan; answers are stored at once, a stopped round goes on."""

    def __init__(self, folder=None, *, clock: Callable[[], float] = time.monotonic):
        self.store, self._clock = Store(ACTIVITY, folder), clock
        self.plan = plan(self.store.person)
        self.given = {(record.item, record.condition) for record in self.store.records()}
        self.tried: list[tuple[float, float]] = []  # this item's queries: (step, change)
        self.start()

    def start(self) -> None:
        """The step is on the screen: its time begins."""
        self._started = self._clock()

    @property
    def step(self) -> tuple[str, str] | None:
        """(item or HELPFUL, condition); None when the round is done."""
        return next((step for step in self.plan if step not in self.given), None)

    @property
    def item(self) -> Item | None:
        """The network being asked about; None during a rating and at the end."""
        return next((item for item in items() if self.step and item.key == self.step[0]), None)

    def query(self, step: float) -> float:
        """Try one step of dial A: the output's change. CourseError where that is not offered."""
        if self.item is None or self.step[1] != "queries":
            raise CourseError("Nothing can be tried here: answer with what you see.")
        if len(self.tried) == TRIES:
            raise CourseError(f"You have tried {TRIES} steps, which is all there are. Now answer.")
        if not 0 < step <= REACH:
            raise CourseError(f"A step is more than 0 and at most {REACH:g}, not {step:g}.")
        self.tried.append((step, self.item.change(step)))
        return self.tried[-1][1]

    def answer(self, rises: bool) -> None:
        """Answer the question about this network."""
        if self.item is None:
            raise CourseError("This is not a network to judge: rate, or look at what came out.")
        self._keep({"rises": bool(rises), "tried": [step for step, _ in self.tried]})

    def rate(self, number: int) -> None:
        """How helpful was what this condition showed, 1 (not at all) to 5 (very)."""
        if self.step is None or self.step[0] != HELPFUL:
            raise CourseError("Answer the networks of this part first, then rate it.")
        if number not in range(1, 6):
            raise CourseError(f"The rating is a number from 1 to 5, not {number!r}.")
        self._keep(number)

    def _keep(self, answer) -> None:
        item, condition = self.step
        self.store.add(item, condition, answer, self._clock() - self._started)
        self.given.add((item, condition))
        self.tried = []
        self.start()


# ---------------------------------------------------------------- on the screen

INTRO = f"""**A round: 12 small networks, three ways to look at them, about five minutes.**
Each network has three dials, A, B and C. You may turn **A** up, by any step up to {REACH:g}.
Averaged over all these steps, does the output **rise or fall**?

- *prediction*: you see the dials and the output, nothing more
- *attribution*: you also see how much each dial contributed, by Integrated Gradients, baseline 0
- *queries*: you may try {TRIES} steps of A yourself

Four networks each; then you say how helpful what you saw was. Which part comes first is drawn for
you. Nobody is told who answered what: your answers lie in this course's class folder under a random
number."""
HOW_HELPFUL = "**How helpful was what you saw in this part (*{}*) for answering?**"
DONE = "**The round is done. Thank you.** Run the next cell to see what came out."
ASK = f"<b>Turn A up by up to {REACH:g}: on average, does the output rise or fall?</b><br>"


class RoundView(View):
    """The round as buttons: `begin`, `up`, `down`, `size` and `try_it`, `ratings`; see `round`."""

    def __init__(self, round: Round):
        self.round = round
        self.begin = button("Start", self.start)
        self.size = widgets.FloatSlider(
            value=0.5, min=0.05, max=REACH, step=0.05, description="step of A"
        )
        self.size.continuous_update = False
        self.try_it = button("Try this step", lambda: self._act(round.query, self.size.value))
        self.up = button("It rises", lambda: self._act(round.answer, True))
        self.down = button("It falls", lambda: self._act(round.answer, False))
        marks = ("1 · not at all", "2", "3", "4", "5 · very")
        self.ratings = [
            button(text, lambda n=n: self._act(round.rate, n)) for n, text in enumerate(marks, 1)
        ]
        self.trial = widgets.HBox([self.size, self.try_it])
        self.answers = widgets.HBox([self.up, self.down])
        self.rating = widgets.HBox(self.ratings)
        self.progress = widgets.HTML()
        parts = (self.trial, self.answers, self.rating)
        for part in parts:
            part.layout.flex_flow = "row wrap"
            part.layout.display = "none"
        super().__init__("a round with and without explanations", self.begin, *parts, self.progress)
        self.show(lambda: Markdown(INTRO))

    @property
    def value(self) -> int:
        """How many steps are answered."""
        return sum(step in self.round.given for step in self.round.plan)

    def start(self) -> None:
        """Show the first step that has no answer yet."""
        self.begin.layout.display = "none"
        self._refresh()
        self.round.start()

    def _act(self, action: Callable, *args) -> None:
        if self.attempt(action, *args):
            self._refresh()

    def _refresh(self) -> None:
        item, step, tried = self.round.item, self.round.step, self.round.tried
        asked = step and step[1] == "queries" and item
        for part, wanted in (
            (self.answers, item),
            (self.trial, asked),
            (self.rating, step and not item),
        ):
            part.layout.display = "" if wanted else "none"
        if item:
            self.show(question, item, step[1], tried)
        else:
            self.show(lambda: Markdown(HOW_HELPFUL.format(step[1]) if step else DONE))
        left = f" · {TRIES - len(tried)} tries left" if asked else ""
        done = f"{self.value} of {len(self.round.plan)} answered"
        self.progress.value = f"{ASK if item else ''}{done}{left}"
        self.say(self.sentence or self.round.store.trouble)


def round_view(round: Round) -> RoundView:
    """Let somebody do a round. The screen stored in the notebook is the introduction."""
    return RoundView(round)


# ---------------------------------------------------------------- what a class says


class Row(NamedTuple):
    """One person under one condition."""

    person: str
    condition: str
    hits: tuple[bool, ...]  # for each network, whether the answer was right
    seconds: float  # the median over the networks
    helpful: int  # their rating, 1 to 5


class Results(NamedTuple):
    """A class, judged."""

    rows: list[Row]
    people: int
    left_out: list[str]  # files and people that do not count, a sentence each
    simulated: bool


def judge(pooled: Pooled | Sequence[Record]) -> Results:
    """Judge everybody who finished a round; who did not is left out and named.

    A second answer to a step does not count. ValueError where people's and simulated answers mix.
    """
    records, left_out = pooled, []
    if isinstance(pooled, Pooled):
        records, left_out = pooled.records, list(pooled.skipped)
    if len({record.activity for record in records}) > 1:
        raise ValueError("people's answers and simulated ones are never pooled together")
    truth = {item.key: item.rises for item in items()}
    by_person: dict[str, dict] = {}
    for record in sorted(records, key=lambda record: record.time):
        by_person.setdefault(record.person, {}).setdefault((record.item, record.condition), record)
    rows, people = [], 0
    for person, given in sorted(by_person.items()):
        steps = plan(person) if _is_person(person) else []
        good = [step for step in steps if step in given and _is_answer(given[step])]
        if not steps or len(good) < len(steps):
            left_out.append(f"person {person}: {len(good)} of {len(plan('0'))} steps answered")
            continue
        people += 1
        for condition in CONDITIONS:
            own = [given[step] for step in steps if step[1] == condition and step[0] != HELPFUL]
            hits = tuple(record.answer["rises"] == truth[record.item] for record in own)
            seconds = median(record.seconds or 0.0 for record in own)
            helpful = given[HELPFUL, condition].answer
            rows.append(Row(person, condition, hits, seconds, helpful))
    simulated = any(record.activity == SIMULATED for record in records)
    return Results(rows, people, left_out, simulated)


def _is_person(person: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in person)


def _is_answer(record: Record) -> bool:
    if record.item == HELPFUL:
        return type(record.answer) is int and 1 <= record.answer <= 5
    return isinstance(record.answer, dict) and type(record.answer.get("rises")) is bool


def summary(results: Results) -> dict[str, dict[str, tuple[float, float, float]]]:
    """{condition: {"accuracy" | "seconds" | "helpful": (mean, low, high)}}, intervals over people.

    Seconds: the mean over people of each one's median. CourseError with fewer than two people.
    """
    if results.people < 2:
        finished = f"{results.people} finished round{'s' * (results.people != 1)}"
        raise CourseError(f"{finished}: an interval needs at least two people.")
    table = {}
    for condition in CONDITIONS:
        rows = [row for row in results.rows if row.condition == condition]
        hits = [(hit, row.person) for row in rows for hit in row.hits]
        people = [row.person for row in rows]
        table[condition] = {
            "accuracy": clustered_mean(*zip(*hits, strict=True)),
            "seconds": clustered_mean([row.seconds for row in rows], people),
            "helpful": clustered_mean([row.helpful for row in rows], people),
        }
    return table


# ---------------------------------------------------------------- a class that is not there


@dataclass(frozen=True)
class Answerer:
    """How a simulated person answers. All numbers are assumptions; none was measured on people."""

    trust: float = 0.85  # share of attributions whose sign is followed; otherwise a coin decides
    lapse: float = 0.05  # share of queries' outcomes that are misread
    seconds: tuple[float, ...] = (5.0, 9.0, 20.0)  # typical time under each condition
    helpful: tuple[float, ...] = (2.0, 4.0, 3.5)  # typical rating, whatever the accuracy

    def decide(self, item: Item, condition: str, rng: random.Random) -> dict:
        """The answer to one network, from what the condition shows and nothing else."""
        coin, tried = rng.random() < 0.5, []
        if condition == "attribution" and rng.random() < self.trust:
            return {"rises": item.attribution[0] > 0, "tried": []}
        if condition == "queries":
            tried = [rng.uniform(0.05, REACH) for _ in range(TRIES)]
            coin = (sum(map(item.change, tried)) > 0) != (rng.random() < self.lapse)
        return {"rises": coin, "tried": tried}


def simulated_class(
    people: int = 24, seed: int = 0, answerer: Answerer | None = None
) -> list[Record]:
    """Records of a made-up class, in memory only, under the activity SIMULATED."""
    answerer = answerer or Answerer()
    rng = random.Random(seed)
    known = {item.key: item for item in items()}
    records = []
    for number in range(people):
        person = f"{number:08x}"
        for item, condition in plan(person):
            kind = CONDITIONS.index(condition)
            if item == HELPFUL:
                answer = min(5, max(1, round(rng.gauss(answerer.helpful[kind], 0.8))))
                seconds = 3.0
            else:
                answer = answerer.decide(known[item], condition, rng)
                seconds = answerer.seconds[kind] * rng.lognormvariate(0, 0.4)
            key = f"{person}-{item}-{condition}"
            records.append(Record(SIMULATED, item, condition, answer, seconds, "", person, key))
    return records
