"""Figures: maps and pictures as they are, each figure shown once with its caption, no sign lost."""

import io

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from helpers.ground.errors import CourseError
from helpers.lesson import plots
from helpers.lesson.plots import core, pictures
from tests.pretend_gpu import pretend_gpu

CAPTION = {"caption": "What is\n   drawn."}


@pytest.mark.parametrize(
    "image",
    [
        np.full((6, 8, 3), 255, np.uint8),
        torch.ones(3, 6, 8),
        torch.ones(1, 3, 6, 8, requires_grad=True),
        torch.ones(6, 8, 3, dtype=torch.bfloat16),
        torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0)) * 5,
    ],
)
def test_any_picture_becomes_height_width_colours(image):
    picture = plots.as_picture(image)
    assert picture.shape == (6, 8, 3)
    assert picture.min() >= 0
    assert picture.max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "given", "expected", "signed"),
    [
        ([[[[0.0, 2.0], [-1.0, 0.0]]]], None, [[0, 1], [-0.5, 0]], True),
        ([[0.0, 2.0], [1.0, 0.0]], None, [[0, 1], [0.5, 0]], False),
        ([[[1.0]], [[-1.0]]], None, [[0]], True),  # signed channels are added
        ([[[1.0]], [[-1.0]]], False, [[1]], False),  # sizes are added, signs do not cancel
    ],
)
def test_a_map_is_scaled_by_its_own_size_and_zero_stays_zero(values, given, expected, signed):
    flat, is_signed = plots.as_map(torch.tensor(values), given)
    np.testing.assert_allclose(flat, expected, atol=0.02)
    assert is_signed == signed


def test_tensors_of_every_kind_become_arrays():
    weights = torch.tensor([1.0, 2.0], requires_grad=True)
    assert plots.as_array(weights).tolist() == [1, 2]
    assert plots.as_array([weights.sum(), weights.max()]).tolist() == [3, 2]
    assert plots.as_array(torch.tensor([True, False])).dtype == bool
    assert plots.as_array(weights.bfloat16()).dtype == np.float32


# ---- every pixel of a map is a square of pixels on the screen


@pytest.mark.parametrize(("size", "panels"), [(7, 1), (28, 3), (28, 11), (64, 4), (224, 3)])
def test_a_map_is_drawn_pixel_by_pixel(size, panels):
    generator = torch.Generator().manual_seed(size)
    m = torch.randn(size, size, generator=generator)
    fig = plots.maps({str(i): m for i in range(panels)}, bar=False, cols=panels, **CAPTION)
    pixels = plt.imread(io.BytesIO(plots.png(fig)))[..., :3]
    flat, _ = plots.as_map(m)
    colours = plt.get_cmap(plots.SIGNED)((flat + 1) / 2)[..., :3]
    ax = fig.axes[-1]
    box = ax.get_window_extent()
    zoom = round(box.width / size)
    assert box.width == pytest.approx(zoom * size)
    top, left = round(pixels.shape[0] - box.y1), round(box.x0)
    centres = np.arange(size) * zoom + zoom // 2
    drawn = pixels[top + centres][:, left + centres]
    inner = slice(1, -1)  # the frame lies on the outermost pixels
    np.testing.assert_allclose(drawn[inner, inner], colours[inner, inner], atol=0.02)


def test_panels_are_at_least_200_pixels_where_they_fit():
    for size, panels, least in ((28, 4, 200), (224, 8, 200), (64, 11, 200), (28, 60, 200)):
        fig = plots.maps({str(i): torch.rand(size, size) for i in range(panels)}, **CAPTION)
        assert min(ax.get_window_extent().width for ax in fig.axes[:panels]) >= least
        assert fig.get_size_inches()[0] * core.DOTS <= pictures.PAGE + 1


def test_signed_maps_are_drawn_around_zero_beside_their_picture(capsys):
    parts = {"signed": torch.randn(1, 3, 8, 8), "sizes": torch.rand(2, 2)}
    picture = plots.as_picture(torch.rand(3, 8, 8))
    fig = plots.maps({"input": picture, **parts}, **CAPTION)
    image, signed, sizes = (ax.images[0] for ax in fig.axes[:3])
    assert image.get_array().shape == (8, 8, 3)
    assert signed.get_clim() == (-1, 1)
    assert sizes.get_clim() == (0, 1)
    assert signed.cmap.name != sizes.cmap.name
    assert capsys.readouterr().out == "What is drawn.\n"


def test_a_map_over_a_picture_leaves_the_picture_to_be_seen():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 4:] = 255
    m = torch.zeros(8, 8)
    m[:4] = 1.0
    tinted = plots.maps({"": m - 0.5}, over=picture, bar=False, **CAPTION).axes[0].images
    assert len(tinted) == 2  # the grey picture, and the map half transparent on it
    assert 0 < tinted[1].get_alpha() < 1
    with_bar = plots.maps({"": m - 0.5}, over=picture, **CAPTION)
    grey = tinted[0].get_array().mean()  # zero on the bar looks as it does on the map
    assert with_bar.axes[-1].get_facecolor()[:3] == pytest.approx((grey,) * 3, abs=0.01)


# ---- numbers


@pytest.mark.parametrize("signed", [True, False])
def test_numbers_in_a_heat_map_are_legible(signed):
    table = np.linspace(-1 if signed else 0, 1, 12).reshape(3, 4)
    ax = plots.heat(table, "abc", "wxyz", **CAPTION).axes[0]
    drawn = ax.images[0]
    assert [text.get_text() for text in ax.texts] == [f"{v:.2f}" for v in table.ravel()]
    for text, value in zip(ax.texts, table.ravel(), strict=True):
        cell = drawn.to_rgba(value)[:3] @ np.array([0.2126, 0.7152, 0.0722])
        ink = 1.0 if text.get_color() == "white" else 0.0
        assert abs(ink - cell) > 0.35


def test_a_number_a_mean_with_its_interval_and_a_sample_are_three_kinds_of_marks():
    rows = {"a": {"one": 0.5, "two": (0.4, 0.3, 0.6)}, "b": {"": [0.1, 0.2, 0.9]}}
    ax = plots.dots(rows, paper={"a": {"one": 0.7}}, zero=True, **CAPTION).axes[0]
    across = [tuple(line.get_xdata()) for line in ax.lines]
    assert {(0, 0), (0.5,), (0.4,), (0.3, 0.6), (0.7,), (0.1, 0.2, 0.9), (0.2, 0.2)} <= set(across)


DRAWN = [
    lambda x: plots.bars({"a": {"s": x[0], "t": 1}}, chance=0.5, **CAPTION),
    lambda x: plots.curves([1, 2], {"a": x, "b": [x, x]}, log="xy", **CAPTION),
    lambda x: plots.curves(["l", "m"], {"t": {"a": x}, "u": {"a": x}}, chance=0.5, **CAPTION),
    lambda x: plots.dots({"t": {"a": {"": x}}, "u": {"a": {"": x}}}, upright=True, **CAPTION),
    lambda x: plots.scatter({"a": (x, x)}, lines=["a"], **CAPTION),
    lambda x: plots.hist({"t": {"a": x, "b": x}, "u": {"a": x}}, 5, medians=True, **CAPTION),
    lambda x: plots.heat({"t": [x, x], "u": [x, x]}, "ab", "cd", **CAPTION),
    lambda x: plots.heat_words(["a", "b"], {"t": x, "u": x}, cols=2, **CAPTION),
]


@pytest.mark.parametrize("draw", DRAWN)
def test_every_general_figure_takes_tensors_and_is_the_same_each_time(draw, capsys):
    x = torch.tensor([0.3, 0.8], requires_grad=True)
    assert plots.png(draw(x)) == plots.png(draw(x))
    assert capsys.readouterr().out == "What is drawn.\n" * 2


def test_general_figures_take_what_lies_on_a_gpu():
    with pretend_gpu():
        x = torch.tensor([0.3, 0.8], device="cuda")
        assert plots.as_picture(torch.rand(3, 4, 5, device="cuda")).shape == (4, 5, 3)
        for draw in DRAWN:
            draw(x)
        plots.maps({"": x[:, None] * x}, over=x.outer(x), **CAPTION)


ODD = "costs $5 or $6, $\\frac$ of 東京"


@pytest.mark.parametrize(
    "draw",
    [
        lambda t: plots.bars({t: {t: 1.0}, "b": {t: 2.0}}, caption=t),
        lambda t: plots.curves([t, "b"], {t: {t: [1, 2]}, "b": {t: [1, 2]}}, caption=t),
        lambda t: plots.dots({t: {t: {t: 1.0}}, "b": {t: {t: 2.0}}}, caption=t),
        lambda t: plots.dots({t: {t: 1.0}}, upright=True, caption=t),
        lambda t: plots.scatter({t: {t: ([1, 2], [1, 2])}}, caption=t),
        lambda t: plots.hist({t: {t: [1, 2], "b": [1]}}, 3, caption=t),
        lambda t: plots.heat({t: [[1.0]], "b": [[1.0]]}, [t], [t], caption=t),
        lambda t: plots.heat_words([t, "b"], {t: [1.0, 2.0]}, caption=t),
        lambda t: plots.maps({t: torch.rand(30, 30)}, caption=t),
    ],
)
def test_names_in_any_figure_are_drawn_as_they_are(draw, recwarn):
    fig = draw(ODD)
    fig.savefig(io.BytesIO())
    assert not [w for w in recwarn if "Glyph" in str(w.message)]  # no boxes
    texts = [t for t in fig.findobj(plt.Text) if "costs" in t.get_text()]
    assert texts
    for text in texts:
        shown, is_formula = text._preprocess_math(text.get_text())
        assert not is_formula
        assert " ".join(shown.split()) == "costs $5 or $6, $\\frac$ of U+6771 U+4EAC"


def test_words_against_are_marked_by_more_than_their_colour():
    fig = plots.heat_words(["good", "bad", "the"], torch.tensor([2.0, -1.0, 0.0]), **CAPTION)
    good, bad, the = fig.axes[0].texts
    assert (good.get_text(), bad.get_text(), the.get_text()) == ("good", "−bad", "the")
    dashed = bad.get_bbox_patch()
    assert dashed.get_linestyle() == "--"
    assert (dashed.get_edgecolor()[3], good.get_bbox_patch().get_edgecolor()[3]) == (1, 0)
    white, red = (part.get_bbox_patch().get_facecolor() for part in (the, good))
    assert white[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.01)
    assert red[0] - red[2] > 0 > dashed.get_facecolor()[0] - dashed.get_facecolor()[2]


def test_long_texts_are_broken_into_lines():
    fig = plots.heat_words(["word"] * 100, np.linspace(-1, 1, 100), width=60, **CAPTION)
    assert max(text.get_position()[0] + len(text.get_text()) for text in fig.axes[0].texts) <= 60
    with pytest.raises(CourseError, match="zip"):
        plots.heat_words(["two", "words"], [1.0], **CAPTION)


# ---- shown once, with a caption


@plots.figure
def one_line(text):
    fig, ax = plots.canvas()
    ax.plot([0, 1])
    return fig


@plots.figure
def its_own_words(high):
    return one_line.__wrapped__(""), f"A line up to {high}."


class Kernel:
    """Stands for a notebook's shell: requests have numbers."""

    kernel, request = object(), 1

    def get_parent(self):
        return {"header": {"msg_id": str(self.request)}}


@pytest.fixture
def published(monkeypatch):
    outputs, shell = [], Kernel()
    monkeypatch.setattr(core, "get_ipython", lambda: shell)
    publish = lambda data, metadata=None: outputs.append((data, metadata))
    monkeypatch.setattr(core, "publish_display_data", publish)
    return shell, outputs, lambda: [next(iter(data)) for data, _ in outputs]


@pytest.mark.parametrize(
    ("draw", "text"), [(one_line, "A line."), (its_own_words, "A line up to A line..")]
)
def test_in_a_notebook_a_figure_is_shown_once_with_its_caption(published, draw, text):
    shell, outputs, kinds = published
    fig = draw("A line.")
    assert kinds() == ["image/png", "text/markdown"]
    assert outputs[0][1] == {"image/png": {"alt": text}}
    assert outputs[1][0]["text/markdown"] == f"*{text}*"
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
