"""With and without an explanation: people judge a network's behaviour under three conditions.

The round is a `helpers.lesson.rating.Rating`; `judge` unblinds a class. `simulated_class` stands in
where there is none; its records carry another activity's name and never mix with people's.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch

from helpers.ground.errors import CourseError
from helpers.ground.stats import clustered_mean
from helpers.lesson.answers import Pooled, Record, Store
from helpers.lesson.rating import Item, Question, Rating, accepted, counterbalanced
from notebooks.support.lesson06.attributions import integrated_gradients
from notebooks.support.lesson06.figures import DIALS
from notebooks.support.lesson06.simulation import average_change, changes, trial

ACTIVITY, SIMULATED = "with-and-without", "with-and-without-simulated"
CONDITIONS = ("prediction", "attribution", "queries")
ROUGHNESS = {"smooth": 0.25, "rough": 2.0}
REACH, TRIES = 1.0, 3  # the largest step; how many steps a person is shown
QUESTIONS = (
    Question(
        "rises",
        f"Dial A is turned up by up to {REACH:g}. On average over these steps, the output …",
        ("falls", "rises"),
    ),
    Question(
        "helpful",
        "How helpful was what you saw?",
        ("not at all", "little", "some", "rather", "very"),
        first=1,
    ),
)
INTRO = f"""**A round: 12 small networks, about five minutes.** Each has three dials, A, B and C.
Beside the dials and the output you see, by turns,

- *prediction*: nothing more
- *attribution*: how much each dial contributed (Integrated Gradients, baseline 0)
- *queries*: what came out when {TRIES} steps of A were tried

Nobody is told who answered what: your answers lie in this course's class folder under a random
number."""


@dataclass(frozen=True)
class Network:
    """One random network at one point, and what each condition shows of it."""

    key: str
    kind: str  # "smooth" or "rough"
    dials: tuple[float, ...]  # the point
    output: float  # f there
    attribution: tuple[float, ...]  # Integrated Gradients of each dial, baseline 0
    tries: tuple[tuple[float, float], ...]  # (step of A, change of the output)
    rises: bool  # the truth: the mean change of f over all steps of A up to REACH


@cache
def networks(seed: int = 0) -> tuple[Network, ...]:
    """Twelve: of each kind the first three that rise and the first three that fall.

    Nothing else selects them; whether an attribution points the right way is left to chance.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for kind, roughness in ROUGHNESS.items():
        found = {True: [], False: []}
        while min(map(len, found.values())) < 3:
            f, x = trial(1, roughness=roughness, generator=generator, features=len(DIALS))
            rises = average_change(f, x, 0, reach=REACH).item() > 0
            steps = REACH * torch.rand(TRIES, generator=generator)
            tries = zip(steps.tolist(), changes(f, x, 0, steps)[:, 0].tolist(), strict=True)
            attribution = integrated_gradients(f, x, torch.zeros_like(x))[0].tolist()
            seen = tuple(x[0].tolist()), f(x).item(), tuple(attribution), tuple(tries)
            found[rises].append((kind, *seen, rises))
        chosen += found[True][:3] + found[False][:3]
    return tuple(Network(f"network-{i:02}", *one) for i, one in enumerate(chosen, 1))


def plan(person: str) -> dict[str, str]:
    """{network: condition} of a person: every condition gets one of each three that are alike."""
    return dict(counterbalanced([one.key for one in networks()], CONDITIONS, person))


def new_round(folder=None) -> Rating:
    """A person's round, in an order of their own; one that was broken off goes on."""
    conditions = plan(Store(ACTIVITY, folder).person)
    items = [Item(one.key, conditions[one.key], (one, conditions[one.key])) for one in networks()]
    return Rating(ACTIVITY, items, QUESTIONS, folder)


# ---------------------------------------------------------------- what a class says


class Row(NamedTuple):
    """One answer of somebody who finished."""

    person: str
    condition: str
    kind: str  # of the network
    right: bool
    helpful: int  # 1 to 5


class Results(NamedTuple):
    """A class, judged."""

    rows: list[Row]
    people: int
    left_out: list[str]  # files and people that do not count, a sentence each
    simulated: bool


def judge(pooled: Pooled | Sequence[Record]) -> Results:
    """Judge everybody who finished a round; who did not is left out and named.

    A later answer replaces an earlier one. ValueError where people's and simulated answers mix.
    """
    if not isinstance(pooled, Pooled):
        pooled = Pooled(list(pooled), 0, [])
    pooled = accepted(pooled, QUESTIONS)
    if len({record.activity for record in pooled.records}) > 1:
        raise ValueError("people's answers and simulated ones are never pooled together")
    known, rows = {one.key: one for one in networks()}, []
    left_out = [*pooled.skipped, *pooled.asked]
    by_person: dict[str, dict[str, Record]] = {}
    for record in pooled.records:
        if record.answer and record.item in known and record.condition in CONDITIONS:
            by_person.setdefault(record.person, {})[record.item] = record
    for person, given in sorted(by_person.items()):
        if len(given) < len(known):
            left_out.append(f"person {person}: {len(given)} of {len(known)} networks answered")
            continue
        for key, record in given.items():
            right = bool(record.answer["rises"]) == known[key].rises
            helpful = record.answer["helpful"]
            rows.append(Row(person, record.condition, known[key].kind, right, helpful))
    people = len({row.person for row in rows})
    return Results(rows, people, left_out, any(r.activity == SIMULATED for r in pooled.records))


def summary(results: Results) -> dict[str, dict[str, tuple[float, float, float]]]:
    """{condition: {"smooth", "rough": accuracy; "smooth liked", "rough liked": rating}}.

    Each (mean, low, high), intervals over people. CourseError with fewer than two people.
    """
    if results.people < 2:
        finished = f"{results.people} finished round{'s' * (results.people != 1)}"
        raise CourseError(f"{finished}: an interval needs at least two people.")
    table = {condition: {} for condition in CONDITIONS}
    for condition in CONDITIONS:
        for kind in ROUGHNESS:
            rows = [row for row in results.rows if (row.condition, row.kind) == (condition, kind)]
            people = [row.person for row in rows]
            table[condition][kind] = clustered_mean([row.right for row in rows], people)
            liked = clustered_mean([row.helpful for row in rows], people)
            table[condition][f"{kind} liked"] = liked
    return table


# ---------------------------------------------------------------- a class that is not there


@dataclass(frozen=True)
class Answerer:
    """How a simulated person answers. All numbers are assumptions; none was measured on people."""

    trust: float = 0.85  # share of attributions whose sign is followed; otherwise a coin decides
    lapse: float = 0.05  # share of queries' outcomes that are misread
    helpful: tuple[float, ...] = (2.0, 4.0, 3.5)  # typical rating, whatever the accuracy

    def decide(self, network: Network, condition: str, rng: random.Random) -> bool:
        """Whether it rises, from what the condition shows and nothing else."""
        coin = rng.random() < 0.5
        if condition == "attribution" and rng.random() < self.trust:
            return network.attribution[0] > 0
        if condition == "queries":
            return (sum(change for _, change in network.tries) > 0) != (rng.random() < self.lapse)
        return coin


def simulated_class(people: int = 24, seed: int = 0, answerer: Answerer | None = None) -> list:
    """Records of a made-up class, in memory only, under the activity SIMULATED."""
    answerer, rng = answerer or Answerer(), random.Random(seed)
    known, records = {one.key: one for one in networks()}, []
    for number in range(people):
        person = f"{number:08x}"
        for key, condition in plan(person).items():
            liked = rng.gauss(answerer.helpful[CONDITIONS.index(condition)], 0.8)
            answer = {
                "rises": int(answerer.decide(known[key], condition, rng)),
                "helpful": min(5, max(1, round(liked))),
            }
            name = f"{person}-{key}"
            records.append(Record(SIMULATED, key, condition, answer, None, "", person, name))
    return records
