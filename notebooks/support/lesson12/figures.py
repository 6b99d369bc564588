"""Lesson 12: its figures, and the numbers printed beside them."""

from IPython.display import Markdown, display
from torch import Tensor

from helpers.datasets import photos
from helpers.ground.stats import clustered_mean
from helpers.lesson import plots
from notebooks.support.lesson12 import pictures, stories

# Jain & Wallace 2019, BiLSTM, additive: τ of attention with leave one out, their result files
PAPER_TAU = {"stories (bAbI 1)": 0.16, "Anemia": 0.47, "SST": 0.29, "IMDb": 0.34}
PARTS = list(stories.PARTS)


def six_heads(photo, A: Tensor):
    """A: (6, 256), what the class token reads."""
    shown = {f"head {h}": weights.view(16, 16) for h, weights in enumerate(A)}
    caption = f"What the class token reads in the last layer, head by head. {photo.credit}."
    shown = {"picture": photos.square(photo.image)} | shown
    return plots.maps(shown, cols=4, bar=False, cmap="Reds", top=1.0, caption=caption)


def one_scene(scenes, maps: dict):
    """The first scene; maps: {method: (2, n, side, side)}, the first two know no question."""
    panels = {"scene": plots.as_picture(scenes.x[0])}
    for name in list(maps)[:2]:
        panels[f"{name}, whatever is asked"] = maps[name][0, 0]
    for i, kind in enumerate(scenes.kinds[0].tolist()):
        for name in list(maps)[2:]:
            panels[f"{pictures.KINDS[kind]}? {name}"] = maps[name][i, 0].clamp(min=0)
    caption = "One scene, asked for one thing and for the other. Art: Twemoji, CC BY 4.0."
    return plots.maps(panels, cols=3, bar=False, cmap="Reds", caption=caption)


def shares(share: dict) -> dict:
    """{method: (mean, low, high)} of shares (2, n), drawn and printed."""
    shown = {
        name: clustered_mean(s.flatten(), list(range(s.shape[1])) * 2) for name, s in share.items()
    }
    caption = "Share of a map's weight on the thing asked for. Bars: 95 % over scenes."
    plots.dots(shown, chance=0.5, xlabel="share on the thing asked for", caption=caption)
    for name, (mean, low, high) in shown.items():
        print(f"{name:21} {mean:.2f} ({low:.2f} to {high:.2f})")
    return shown


def above_the_disc(rises: dict):
    over = {name: (r - rises["a disc"]).flatten() for name, r in rises.items() if name != "a disc"}
    caption = "Insertion: area under the curve minus the disc's. A dot is a question."
    return plots.dots(over, chance=0, xlabel="more than the disc", caption=caption)


def halves(on_half: dict):
    print("means:", ", ".join(f"{name} {values.mean():.2f}" for name, values in on_half.items()))
    caption = "Ten joined photographs: the share of the map on the half asked for, mean of both."
    return plots.dots(on_half, chance=0.5, xlabel="share on the half asked for", caption=caption)


def falling(alike: dict, floor: dict):
    names = ["nothing", "probe", "and layers 8–11", "and 4–7", "and 0–3"]
    print(" " * 20, *(f"{name:>15}" for name in [*names[1:], "floor"]))
    for name, values in alike.items():
        print(f"{name:20}", *(f"{value:15.2f}" for value in [*values[1:], floor[name]]))
    axes = {"xlabel": "random so far", "ylabel": "rank correlation with the map before"}
    caption = "Four scenes. From left to right more is random, from the output down."
    return plots.curves(names, alike, **axes, caption=caption)


def next_words(lm, tokenizer, story, most=5) -> None:
    """Print a story and its likeliest next words."""
    ids = stories.encode(tokenizer, [story], device=lm.device)  # (1, 20)
    p = lm(ids).logits[0, -1].softmax(-1).topk(most)
    print(story.text, "…")
    for word, value in zip(p.indices.tolist(), p.values.tolist(), strict=True):
        print(f"{tokenizer.decode(word):>12} {value:.2f}")


def reading(A: Tensor):
    """A: (L, B, heads, T), what the last token reads."""
    parts = {part: A[..., at].sum(-1).mean((1, 2)).tolist() for part, at in stories.PARTS.items()}
    caption = "How much of its reading the last token gives to each part, layer by layer."
    axes = {"xlabel": "layer", "label": "weight", "numbers": None}
    return plots.heat(list(parts.values()), PARTS, range(len(A)), **axes, caption=caption)


def before_and_after(tokenizer, before: Tensor, after: Tensor, edge: tuple[str, str]):
    """The six likeliest next words; before, after: probabilities (V,)."""
    best = (before + after).topk(6).indices.tolist()
    words = [tokenizer.decode(i).strip() or "␣" for i in best]
    rows = zip(words, before[best].tolist(), after[best].tolist(), strict=True)
    values = {word: {"as it is": p, "cut": q} for word, p, q in rows}
    reader, read = edge
    caption = f"The next word, as it is and when '{reader}' may not read '{read}', in all heads."
    return plots.bars(values, ylabel="probability", caption=caption)


def every_pair(lost: Tensor):
    """lost: (parts, parts), a row may not read a column."""
    caption = (
        "Nats of finding lost when the row's part may not read the column's. Mean over stories."
    )
    return plots.heat(lost, PARTS, PARTS, numbers=None, label="nats", caption=caption)


def strongest(lost: Tensor, most=5) -> None:
    """Print the cuts that cost most, and their least and most in a story; (parts, parts, B)."""
    for k in lost.mean(-1).flatten().argsort(descending=True)[:most].tolist():
        i, j = divmod(k, len(PARTS))
        low, high = lost[i, j].aminmax()
        what = f"{PARTS[i]:>16} from {PARTS[j]:16} {lost[i, j].mean():5.2f}"
        print(f"{what} (in single stories {low:.2f} to {high:.2f})")


def last_token(finding: Tensor, lost: dict[str, list[Tensor]]) -> None:
    """Print what cuts of the last token cost, with intervals over pairs.

    lost: {what is cut: costs (B,), the freed weight going to the rest, and unused}.
    """
    pair = [i // 2 for i in range(len(finding))]
    print(f"finding {finding.mean():.2f} nats; lost when the last token may not read")
    print(" " * 39, "freed weight unused")
    for what, costs in lost.items():
        shown = ["{:5.2f} ({:.2f} to {:.2f})".format(*clustered_mean(n, pair)) for n in costs]
        print(f"{what:>16} {shown[0]:21} {shown[1]}")


@plots.figure
def heads(panels: dict):
    """panels: {cut: (L, H)} in nats, beside each other; their largest and sum are printed."""
    rows = -(-len(panels) // 2)
    fig, axes = plots.canvas(rows, 2, height=0.3 + 1.9 * rows, squeeze=False)
    largest = max(float(table.abs().max()) for table in panels.values())
    for ax, (title, table) in zip(axes.flat, panels.items(), strict=False):
        scale = {"cmap": plots.SIGNED, "vmin": -largest, "vmax": largest, "aspect": "auto"}
        drawn = ax.imshow(plots.as_array(table.T), **scale)
        ax.set(title=f"'the' from {title}", xlabel="layer", ylabel="head", yticks=range(0, 9, 2))
        print(f"'the' from {title}: largest {table.max():.2f}, added {table.sum():.2f}")
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    fig.colorbar(drawn, ax=list(axes.flat), label="nats of finding lost")
    return fig, "One edge cut in one head of one layer, on one scale. Mean over stories."


def eight_heads(best: Tensor, scores: Tensor) -> list[float]:
    """Print what the cases cost: the eight, these from full stops, all others, ten other eights.

    scores: a story's finding as it is, and in each case: (B, 14). Returns what the eight and the
    ten cost.
    """
    scores = scores.mean(0)
    eight, stops, rest, *others = (scores[0] - scores[1:]).tolist()
    print("the eight, as layer.head:", names(best))
    print(f"finding {scores[0]:.2f}; lost by the eight {eight:.2f}, from full stops {stops:.2f}")
    print(f"all heads but the eight: {rest:.2f}")
    print(f"ten other eights of the same layers: {min(others):.2f} to {max(others):.2f}")
    return [eight, *others]


def compare_heads(adds: Tensor, best: Tensor, most=8) -> None:
    """Print the heads that add most (L, H), beside `best`, those that cost most when cut."""
    top = adds.flatten().topk(most).indices.tolist()
    print("add most, as layer.head:", names(top))
    layers = [k // adds.shape[1] for k in best.tolist()]
    beside = [k for k in top if min(layers) <= k // adds.shape[1] <= max(layers)]
    number = (1 + max(layers) - min(layers)) * adds.shape[1]  # of heads in these layers
    print(f"of the eight of section 7 among them: {len(set(top) & set(best.tolist()))};")
    print(f"of eight drawn from all heads: {most * most / adds.numel():.1f},", end=" ")
    print(f"from the layers of the eight: {most * len(beside) / number:.1f}")


def names(heads, per_layer=9) -> str:
    return ", ".join(f"{k // per_layer}.{k % per_layer}" for k in map(int, heads))


def by_layer(tau: dict):
    """tau: {whose weights: (stories, L)}."""
    for name, values in tau.items():
        print(f"{name}: τ {values.nanmean():.2f}")
    caption = "τ in each layer: mean over stories, and their range."
    axes = {"xlabel": "layer", "ylabel": "Kendall's τ"}
    layers = range(next(iter(tau.values())).shape[1])
    return plots.curves(layers, tau, **axes, caption=caption)


def shuffles(shift: Tensor, moved: Tensor):
    """shift: (L, B, 10), five orders of all and five that leave the first; moved: (L, B, 19)."""
    every, later = (some.median(-1).values.T for some in shift.chunk(2, dim=-1))
    lines = {"all shuffled": every, "all but the first": later}
    lines["largest single cut"] = moved.amax(-1).T
    print(", ".join(f"{name}: {values.mean():.2f}" for name, values in lines.items()))
    axes = {"xlabel": "layer", "ylabel": "finding moves by (nats)"}
    caption = "The last token's weights shuffled in one layer, beside the largest single cut there."
    return plots.curves(range(len(shift)), lines, **axes, caption=caption)


def depth(logits: dict, word: int):
    """{story: logits by layer (L, V)}; the word's rank is drawn, the first is the slide's story."""
    p = next(iter(logits.values())).softmax(-1)[:, word]
    print(f"probability after layer 28: {p[28]:.3f}, after layer 29: {p[29]:.2f}")
    rank = {name: 1 + (of > of[:, word, None]).sum(-1) for name, of in logits.items()}  # (L,)
    print("rank after layer 0, 22, 23, 28, 29:")
    for name, places in rank.items():
        print(f"{name:>15}", *(f"{places[i]:>8,}" for i in (0, 22, 23, 28, 29)))
    axes = {"xlabel": "layer", "ylabel": 'rank of "garden"', "ylim": (3e4, 0.7)}
    caption = (
        "The logit lens: the rank of the word if each layer were the last. 1 is the likeliest."
    )
    return plots.curves(range(len(p)), rank, **axes, log="y", caption=caption)


def beside_paper(tau: Tensor, block=10) -> None:
    """Show τ (stories, L) in blocks of layers, and the paper's."""
    rows = ["| τ of weights with leaving out, or with cutting | |", "|---|---|"]
    rows += [f"| Jain & Wallace 2019, {name} | {value:.2f} |" for name, value in PAPER_TAU.items()]
    for first in range(0, tau.shape[1], block):
        mean = tau[:, first : first + block].nanmean()
        rows.append(f"| SmolLM2, layers {first} to {first + block - 1} | {mean:.2f} |")
    display(Markdown("\n".join(rows)))
