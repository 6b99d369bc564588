"""The class activity of D2-15: a neuron's firings, a rule in one line, its score at once, and a
board of the class's rules.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import ipywidgets as widgets
from IPython.display import display

from helpers.lesson.plots import COLOURS
from notebooks.support.lesson08 import slides
from notebooks.support.lesson08.neuron_puzzle import Puzzle, Ranked, RuleRound, judge_sample
from notebooks.support.lesson08.rules import KINDS, LEVELS, STRONG, Score, marked, words_of_tokens
from helpers.datasets.excerpts import Excerpt, Excerpts
from helpers.lesson.widgets.view import WIDE, View, button


class RuleView(View):
    """Choose a neuron and a kind of rule, write it, press Enter: `neuron`, `kind`, `text`,
    `score_it`; `yes`, `no` judge free text.
    """

    def __init__(self, round: RuleRound):
        self.round, self.judging, self.judged = round, [], {}
        line = {
            "style": {"description_width": "6em"},
            "layout": widgets.Layout(width="min(100%, 36em)"),
        }
        self.neuron = widgets.Dropdown(
            options=[(p.title, key) for key, p in round.puzzles.items()],
            description="neuron",
            **line,
        )
        self.kind = widgets.Dropdown(options=KINDS, value="suffix", description="rule", **line)
        self.text = widgets.Text(
            placeholder="write it, then Enter: several words or endings with blanks between them",
            continuous_update=False,
            layout=widgets.Layout(width=WIDE),
        )
        self.score_it = button("Score it", self._submit)
        self.yes, self.no = (
            button("It fits", lambda: self._judge(True)),
            button("It does not", lambda: self._judge(False)),
        )
        self.panel = widgets.HBox([self.yes, self.no], layout=widgets.Layout(display="none"))
        super().__init__(
            "find the rule of a neuron",
            self.neuron,
            self.kind,
            self.text,
            widgets.HBox([self.score_it]),
            self.panel,
        )
        self.neuron.observe(lambda change: self.refresh(), names="value")
        self.text.observe(lambda change: change["new"] and self._submit(), names="value")
        self.refresh(strict=True)

    @property
    def value(self) -> list[Ranked]:
        """The board for the neuron on the screen."""
        return self.round.ranking(self.neuron.value)

    def refresh(self, strict: bool = False) -> None:
        """Show the neuron's examples and the board."""
        self.judging, self.panel.layout.display = [], "none"
        self.show(lambda: self._draw(), strict=strict)
        self.say(self.sentence or self.round.store.trouble)

    def _draw(self, last: Score | None = None) -> None:
        puzzle, board = self.round.puzzles[self.neuron.value], self.value
        display(puzzle.shown)
        if last or board:
            answer = f"<p>{html.escape(puzzle.answer)}</p>" if puzzle.answer and board else ""
            missing = (
                f"<p><i>{html.escape(self.round.left_out)}</i></p>" if self.round.left_out else ""
            )
            display(
                Card(
                    (_told(last) if last else "") + answer + _board(board) + missing,
                    "[the score and the board]",
                )
            )

    def _submit(self) -> None:
        if self.kind.value == "free text" and self.text.value.strip():
            self._start_judging()
        else:
            self._hand_in(None)

    def _hand_in(self, judged: dict | None) -> None:
        """Have the rule scored and kept, and show what it reached."""
        kind, scored = self.kind.value if judged is None else "free text", []
        if self.attempt(
            lambda: scored.append(
                self.round.submit(self.neuron.value, kind, self.text.value, judged)
            )
        ):
            self._tell(scored[0])

    def _tell(self, score: Score) -> None:
        self.text.value = ""
        self.show(lambda: self._draw(score))
        self.say(self.sentence or self.round.store.trouble)

    # ---- free text: the group says of a few words whether the description fits, without seeing how
    # strongly the neuron fires
    def _start_judging(self) -> None:
        self.judging, self.judged = judge_sample(self.round.puzzles[self.neuron.value]), {}
        self.panel.layout.display = ""
        self._ask()

    def _ask(self) -> None:
        words, (_, number) = self.round.puzzles[self.neuron.value].words, self.judging[0]
        text, start, end = words.spans[number]
        whole = words.texts[text]
        around = (whole[max(0, start - 70) : start], whole[start:end], whole[end : end + 25])
        piece = Excerpt(tuple(part.replace("\n", "↵") for part in around), (0.0, 0.0, 0.0), 1)
        shown = Excerpts([piece], 1.0, f"“{self.text.value.strip()}”: does it fit the framed word?")
        self.show(lambda: shown)
        self.say(f"{len(self.judging)} to go")

    def _judge(self, fits: bool) -> None:
        if not self.judging:
            return
        level, _ = self.judging.pop(0)
        self.judged.setdefault(level, []).append(fits)
        if self.judging:
            self._ask()
        else:
            self.panel.layout.display = "none"
            self._hand_in(self.judged)


class Card:
    """HTML, and a plain text for where there is none."""

    def __init__(self, inside: str, text: str):
        self.inside, self.text = inside, text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return (
            '<div style="background:#fff;color:#111;font-size:19px;line-height:1.4;padding:4px '
            f'8px">{self.inside}</div>'
        )


def coloured(sentences: Sequence[str]) -> Card:
    """Sentences with words marked as {A:word}, underlined in the colour of their letter and with
    the letter behind; {?:word} in grey. The word itself is dark: some colours are too pale to read.
    """

    def mark(m: re.Match) -> str:
        letter, word = m.groups()
        known = letter != "?"
        line = COLOURS["ABCDEF".index(letter)] if known else "#777777"
        style = f"border-bottom:3px solid {line}"
        return f'<b style="{style}">{word}</b>' + f"<sup>{letter}</sup>" * known

    lines = "".join(
        f"<div>{re.sub(r'{([A-Z?]):([^}]*)}', mark, html.escape(sentence))}</div>"
        for sentence in sentences
    )
    return Card(
        lines,
        "\n".join(re.sub(r"{([A-Z?]):([^}]*)}", r"\2[\1]", sentence) for sentence in sentences),
    )


def _told(score: Score) -> str:
    """What a rule reached, as a sentence and a row of shares by level."""
    percent = lambda share: "–" if share != share else f"{100 * share:.0f} %"
    cells = "".join(
        '<td style="padding:2px '
        f'14px;text-align:center">{name}<br><b>{percent(share)}</b><br>of {count}</td>'
        for name, share, count in zip(LEVELS, score.covered, score.count, strict=True)
    )
    return (
        f"<p>Your rule finds <b>{100 * score.recall:.0f} %</b> of the strong firings. Where it "
        "says yes, the neuron fires strongly in "
        f"<b>{100 * score.precision:.0f} %</b> and at all in {100 * score.precision_any:.0f} %.</p>"
        f'<table style="font-size:16px"><tr><td>says yes to</td>{cells}</tr></table>'
    )


def _board(board: list[Ranked]) -> str:
    rows = [
        f"<li>{html.escape(r.kind)}: <code>{html.escape(r.rule)}</code> · "
        f"{_points(r)}{' · yours' * r.own}</li>"
        for r in board
    ]
    return f"<p><b>The board</b></p><ol>{''.join(rows) or '<i>no rule yet</i>'}</ol>"


def _points(ranked: Ranked) -> str:
    s = ranked.score
    if ranked.kind == "free text":
        return (
            f"judged: {100 * s.recall:.0f} % of the strong firings, {sum(s.said[:STRONG])} of "
            f"{sum(s.count[:STRONG])} others"
        )
    return (
        f"<b>{100 * s.f1:.0f}</b> points · recall {100 * s.recall:.0f} % · precision "
        f"{100 * s.precision:.0f} %"
    )


def rule_view(round: RuleRound) -> RuleView:
    """Let a class write rules for neurons. Points are 100 × F1 on text that was not shown."""
    return RuleView(round)


def slide_round() -> RuleRound:
    """Round one: the slide's sentences with their groups; ours are scored and not shown."""
    words, groups = marked([*slides.SENTENCES, *slides.UNSEEN])
    page = coloured(slides.SENTENCES)
    return RuleRound(
        [
            Puzzle(f"slide {letter}", f"group {letter}", page, words, acts, slides.KEYS[letter])
            for letter, acts in groups.items()
        ]
    )


def neuron_round(models, found, rows, picks: Sequence[tuple[str, int]]) -> RuleRound:
    """Round two: neurons (model's name, number), scored on rows that `found` has not examples of.

    models: {name: transformer}; found: {name: where its neurons fire}; rows: tokens (R, T).
    """
    from notebooks.support.lesson08.neuron_rating import shown  # PyTorch: round one needs none
    from notebooks.support.lesson08.neurons import stages

    unseen, puzzles = rows[2::16][:480], []
    words = words_of_tokens(unseen)
    fired = {name: stages(models[name], unseen).post for name in {name for name, _ in picks}}
    for n, (name, unit) in enumerate(picks, 1):
        places, largest = found[name].uniform[unit, :, 0].flip(0), found[name].maximum[unit]
        title = "twelve firings from strong to weak"
        page = shown(models[name], unit, rows, places, title, largest)
        acts, answer = words.strongest(fired[name][:, unit]), f"Neuron {unit} of {name}."
        puzzles.append(Puzzle(f"{name} {unit}", f"neuron {n}", page, words, acts, answer))
    return RuleRound(puzzles)
