"""Figures: what is drawn is what was given, signs do not rest on colour, and every figure is shown once, with its caption."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from helpers.lesson import plots
from helpers.lesson import plots as core


def test_the_style_reaches_pyplot():
    import matplotlib as mpl

    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"][0] == core.COLOURS[0]
    assert mpl.rcParams["image.cmap"] != "jet"


@pytest.mark.parametrize(
    "image",
    [
        np.full((6, 8, 3), 255, np.uint8),
        torch.ones(3, 6, 8),
        torch.ones(1, 3, 6, 8),
        torch.ones(6, 8, 3),
        torch.randn(3, 6, 8) * 5,
    ],
)
def test_any_picture_becomes_height_width_colours(image):
    picture = core.as_picture(image)
    assert picture.shape == (6, 8, 3)
    assert picture.min() >= 0
    assert picture.max() == pytest.approx(1)


def test_maps_are_scaled_by_their_own_size_and_zero_stays_zero():
    flat, signed = core.as_map(torch.tensor([[[[0.0, 2.0], [-1.0, 0.0]]]] * 1))
    assert signed
    assert flat[0, 0] == 0
    assert flat[1, 0] == pytest.approx(-0.5, abs=0.02)
    flat, signed = core.as_map(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
    assert not signed
    flat, _ = core.as_map(
        torch.tensor([[[1.0]], [[-1.0]]]), signed=False
    )  # sizes are added, signs do not cancel
    assert flat.item() == 1
    assert core.as_map(torch.tensor([[[1.0]], [[-1.0]]]))[0].item() == 0


def test_show_maps_draws_signed_maps_around_zero(capsys):
    fig = plots.show_maps(
        torch.rand(3, 8, 8),
        {"signed": torch.randn(1, 3, 8, 8), "sizes": torch.rand(2, 2)},
        caption="A picture\n   and two maps.",
    )
    image, signed, sizes = (ax.images[0] for ax in fig.axes[:3])
    assert image.get_array().shape == (8, 8, 3)
    assert signed.get_clim() == (-1, 1)
    assert sizes.get_clim() == (0, 1)
    assert signed.cmap.name != sizes.cmap.name
    assert [ax.get_title() for ax in fig.axes[:3]] == ["input", "signed", "sizes"]
    assert capsys.readouterr().out == "A picture and two maps.\n"


def test_bars_curves_and_violins_draw_what_they_are_given():
    fig = plots.bars(
        {"a": {"ours": 0.5, "control": 0.2}, "b": {"ours": -0.7}},
        ylabel="share",
        caption="c",
        paper={"a": {"ours": 0.6}},
        intervals={"a": {"ours": (0.4, 0.6)}},
        chance=0.25,
    )
    ax = fig.axes[0]
    assert sorted(round(bar.get_height(), 3) for bar in ax.patches) == [-0.7, 0.2, 0.5]
    assert len({bar.get_hatch() for bar in ax.patches}) == 2  # series differ by more than colour
    assert {text.get_text() for text in fig.legends[0].texts} == {
        "ours",
        "control",
        "paper",
        "chance",
    }
    assert any(list(line.get_ydata()) == [0.6] for line in ax.lines)

    fig = plots.curves(
        [1, 2, 3],
        {"five runs": np.arange(15).reshape(5, 3), "one": [3, 2, 1]},
        xlabel="x",
        ylabel="y",
        caption="c",
    )
    lines = {line.get_label(): line for line in fig.axes[0].lines}
    assert list(lines["five runs"].get_ydata()) == [6, 7, 8]
    assert list(lines["one"].get_ydata()) == [3, 2, 1]
    assert lines["one"].get_marker() != lines["five runs"].get_marker()
    assert len(fig.axes[0].collections) == 1  # only several runs have a range

    fig = plots.violins({"a": [1, 2, 9], "same": [1.0] * 50}, ylabel="y", caption="c")
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == [
        "a\nn = 3",
        "same\nn = 50",
    ]
    assert any(list(line.get_ydata()) == [2] for line in fig.axes[0].lines)  # the median


def test_words_against_are_marked_by_more_than_their_colour():
    fig = plots.heat_words(["good", "bad", "the"], torch.tensor([2.0, -1.0, 0.0]), caption="c")
    good, bad, the = fig.axes[0].texts
    assert (good.get_text(), bad.get_text(), the.get_text()) == ("good", "−bad", "the")
    assert bad.get_bbox_patch().get_linestyle() == "--"
    assert bad.get_bbox_patch().get_edgecolor()[3] == 1
    assert good.get_bbox_patch().get_edgecolor()[3] == 0
    assert the.get_bbox_patch().get_facecolor()[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.01)
    red, blue = good.get_bbox_patch().get_facecolor(), bad.get_bbox_patch().get_facecolor()
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_long_texts_are_broken_into_lines():
    fig = plots.heat_words(["word"] * 100, np.linspace(-1, 1, 100), caption="c", width=60)
    assert max(text.get_position()[0] + len(text.get_text()) for text in fig.axes[0].texts) <= 60
    with pytest.raises(ValueError, match="zip"):
        plots.heat_words(["two", "words"], [1.0], caption="c")


def test_a_png_is_the_same_each_time():
    def draw():
        return core.png(plots.bars({"a": 1, "b": 2}, ylabel="y", caption="c"))

    assert draw() == draw()


class Kernel:
    """Stands for a notebook's shell: requests have numbers, and what is published is kept."""

    kernel, request = object(), 1

    def get_parent(self):
        return {"header": {"msg_id": str(self.request)}}


@pytest.fixture
def published(monkeypatch):
    outputs, shell = [], Kernel()
    plt.close(plt.figure())  # pyplot meets IPython before the stand-in takes its place
    monkeypatch.setattr(plots, "get_ipython", lambda: shell)
    monkeypatch.setattr(
        plots,
        "publish_display_data",
        lambda data, metadata=None: outputs.append((data, metadata)),
    )
    outputs_of = lambda: [next(iter(data)) for data, _ in outputs]  # noqa: E731
    return shell, outputs, outputs_of


def test_in_a_notebook_a_figure_is_shown_once_with_its_caption_as_alternative_text(published):
    shell, outputs, kinds = published
    fig = plots.bars({"a": 1}, ylabel="y", caption="One bar.")
    assert kinds() == ["image/png", "text/markdown"]
    assert outputs[0][1] == {"image/png": {"alt": "One bar."}}
    assert outputs[1][0]["text/markdown"] == "*One bar.*"
    fig._ipython_display_()  # as the value of the cell's last line
    assert len(outputs) == 2
    shell.request = 2
    fig._ipython_display_()  # in a later cell it is shown again
    assert kinds() == ["image/png", "text/markdown"] * 2


def test_a_pyplot_figure_is_closed_by_its_caption(published):
    fig, _ = plt.subplots()
    plots.caption(fig, "Nothing yet.")
    assert published[2]() == ["image/png", "text/markdown"]
    assert fig.number not in plt.get_fignums()
    assert isinstance(fig, Figure)
