"""Lesson 04: the weighing game's drawing."""

from helpers.lesson.plots import COLOURS, canvas, draw_words, figure


@figure
def weighing(words, own, now, outputs: tuple[float, float], distance: float):
    """The text under the weights of now, and two bars: the output with the model's own and these.

    words: of a text of some 50 words; own, now: its weights (T,); outputs: with own and with now;
    distance: the JSD between the weights, in nats.
    """
    before, after = outputs
    fig, (left, right) = canvas(1, 2, height=2.6, width_ratios=(3.2, 1))
    draw_words(left, words, now, width=72)
    left.set_title(f"{distance:.2f} nats from the model's own weights (at most 0.69)", loc="left")
    right.barh(["now", "own"], [after, before], color=[COLOURS[1], COLOURS[0]])
    for place, output in enumerate((after, before)):
        right.text(min(output + 0.03, 0.7), place, f"{output:.3f}", va="center")
    right.axvline(0.5, color="0.4", linestyle=":")
    right.set(xlim=(0, 1), xlabel="P(positive)", title=f"moved by {abs(after - before):.3f}")
    return fig, (
        "Left, the text, darker where the weight is. Right, the output with the model's own "
        "weights and with those of now."
    )
