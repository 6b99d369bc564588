"""The views without a browser: driven through their values, whatever goes wrong ends in one sentence."""

import errno
import io
import re
import subprocess
import sys
from types import SimpleNamespace

import ipywidgets as widgets
import matplotlib
import numpy as np
import pytest
from PIL import Image

from helpers.datasets.photos import open_picture
from helpers.ground.errors import CourseError
from helpers.lesson import answers as store_module
from helpers.lesson.answers import Store
from helpers.lesson.boards import Board
from helpers.lesson.rating import Item, Question, Rating
from helpers.lesson.widgets import (
    View,
    board_view,
    choice_view,
    picture_input,
    playground,
    rating_view,
)
from helpers.lesson.widgets.explore import uploaded_files
from helpers.lesson.widgets.view import publish, sentence_of

matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def no_memory_of_other_tests():
    store_module._answer_file.cache_clear()
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """What was published, in order: mime bundles."""
    published = []
    monkeypatch.setattr(
        "helpers.lesson.widgets.view.publish_display_data",
        lambda data, metadata: published.append((data, metadata)),
    )
    monkeypatch.setattr(
        "helpers.lesson.widgets.view.display",
        lambda thing: published.append(({"text/markdown": thing.data}, {})),
    )
    monkeypatch.setattr(
        "helpers.lesson.widgets.view.clear_output", lambda wait: published.append("cleared")
    )
    return published


def line(slope=1.0, label="line"):
    if slope > 3:
        raise ValueError("Steeper than 3 leaves the picture.")
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, slope])
    ax.set_title(label)
    return fig


# ---------------------------------------------------------------- playground


def test_a_playground_draws_at_once_and_at_every_change(shown):
    view = playground(line, slope=(0.0, 5.0, 0.5), label="a line")
    assert view.value == {
        "slope": 1.0,
        "label": "a line",
    }  # a slider starts at the function's default
    ((data, metadata),) = shown
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "<figure>"
    assert metadata == {"image/png": {"alt": "a line"}}
    view.controls["slope"].value = 2.5
    assert shown[1] == "cleared"
    assert shown[2][0]["image/png"] != data["image/png"]
    assert view.result.axes[0].lines[0].get_ydata()[1] == 2.5
    assert not plt.get_fignums()  # or the notebook would show it twice


def test_an_error_while_drawing_is_one_sentence_and_goes_away(shown):
    view = playground(line, slope=(0.0, 5.0, 0.5))
    view.controls["slope"].value = 4.0
    assert view.sentence == "Steeper than 3 leaves the picture."
    assert "<b>Steeper" in view.note.value
    assert view.result.axes[0].lines[0].get_ydata()[1] == 1.0  # what was last good
    view.controls["slope"].value = 2.0
    assert view.sentence == ""
    assert view.note.value == ""
    assert view.result.axes[0].lines[0].get_ydata()[1] == 2.0


def test_an_unfinished_figure_does_not_turn_up_later(shown):
    def draw(x=0):
        plt.figure().add_subplot().plot([x])
        if x == 1:
            raise KeyError("colour")

    view = playground(draw, x=(0, 2))
    view.controls["x"].value = 1
    assert view.sentence == "This did not work (KeyError: 'colour')"
    assert not plt.get_fignums()
    before = len(shown)
    view.controls["x"].value = 2
    assert len(shown) == before + 2  # cleared, one picture


def test_figures_of_others_stay_open(shown):
    mine = plt.figure()
    playground(line, slope=(0.0, 5.0))
    assert plt.get_fignums() == [mine.number]
    assert len(shown) == 1


def test_a_mistake_in_the_first_drawing_is_raised():
    with pytest.raises(ZeroDivisionError):
        playground(lambda x=0: 1 / x, x=(0, 5))


def test_short_forms_of_controls(shown):
    view = playground(
        lambda **values: None,
        a=(0, 4),
        b=(0.0, 1.0, 0.25),
        c=["x", "y"],
        d={"one": 1, "two": 2},
        e=True,
        f="text",
        many_words=widgets.ToggleButtons(options=["u", "v"]),
    )
    kinds = [type(control) for control in view.controls.values()]
    assert kinds == [
        widgets.IntSlider,
        widgets.FloatSlider,
        widgets.Dropdown,
        widgets.Dropdown,
        widgets.Checkbox,
        widgets.Text,
        widgets.ToggleButtons,
    ]
    assert view.value == {
        "a": 2,
        "b": 0.5,
        "c": "x",
        "d": 1,
        "e": True,
        "f": "text",
        "many_words": "u",
    }
    assert view.controls["many_words"].description == "many words"
    assert not view.controls["f"].continuous_update
    with pytest.raises(ValueError, match=r"a=None is no control: give \(low, high\)"):
        playground(lambda a: None, a=None)


def test_a_slow_drawing_waits_until_the_slider_is_let_go(monkeypatch, shown):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(
        "helpers.lesson.widgets.explore.time", SimpleNamespace(perf_counter=lambda: clock.now)
    )
    assert playground(line, slope=(0.0, 5.0)).controls["slope"].continuous_update

    def slow(slope):
        clock.now += 1.0

    assert not playground(slow, slope=(0.0, 5.0)).controls["slope"].continuous_update


def test_the_courses_own_figures_show_themselves_once(monkeypatch, shown):
    class Own:
        savefig = _ipython_display_ = data = None

    publish(Own())
    assert len(shown) == 1
    assert "text/markdown" in shown[0][0]


# ---------------------------------------------------------------- a picture of one's own


def png(width=30, height=20):
    Image.fromarray(np.full((height, width, 3), 128, dtype=np.uint8)).save(
        buffer := io.BytesIO(), "png"
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        {
            "cat.png": {
                "metadata": {"name": "cat.png", "size": 3, "type": "image/png"},
                "content": b"abc",
            }
        },  # ipywidgets 7
        (
            {
                "name": "cat.png",
                "type": "image/png",
                "size": 3,
                "content": memoryview(b"abc"),
                "last_modified": 0,
            },
        ),  # ipywidgets 8
    ],
)
def test_an_upload_in_both_formats(value):
    assert uploaded_files(value) == [("cat.png", b"abc")]


@pytest.mark.parametrize("value", [{}, ()])
def test_no_upload(value):
    assert uploaded_files(value) == []


def test_a_picture_by_its_path_and_by_upload(tmp_path, shown):
    seen = []
    view = picture_input(seen.append, read=open_picture)
    (tmp_path / "my cat.png").write_bytes(png())
    view.path.value = f' "{tmp_path / "my cat.png"}" '  # with quotes, as file managers copy it
    assert [image.shape for image in seen] == [(20, 30, 3)]
    assert view.sentence == ""
    view._uploaded({"new": ({"name": "b.png", "content": memoryview(png(8 * 5, 50))},)})
    assert view.value.shape == (50, 40, 3)
    assert len(seen) == 2
    view.path.value = ""
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"Dear reader", "not a picture"), (png()[:60], "damaged|not a picture"), (b"", "empty")],
)
def test_what_is_no_picture_ends_in_a_sentence(tmp_path, shown, content, words):
    view = picture_input(lambda image: pytest.fail("must not be called"), read=open_picture)
    (tmp_path / "a.png").write_bytes(content)
    view.path.value = str(tmp_path / "a.png")
    assert re.search(words, view.sentence)
    assert view.value is None
    assert "did not work" not in view.sentence
    view.path.value = str(tmp_path / "nowhere.png")
    assert view.sentence.startswith("There is no file")
    view.path.value = str(tmp_path)
    assert view.sentence


def test_a_picture_to_begin_with(shown):
    seen = []
    start = np.zeros((4, 4, 3), dtype=np.uint8)
    assert picture_input(seen.append, read=open_picture, start=start).value is start
    assert seen == [start]


# ---------------------------------------------------------------- board and choice


def test_a_board_is_written_on(tmp_path, shown):
    view = board_view(Board("k", "Why?", folder=tmp_path))
    assert shown[-1][0]["text/markdown"] == "### Why?\n\n*no answer yet*\n"
    assert view.seat.layout.display == "none"
    view.text.value = "Because of *this*"
    view.put.click()
    assert view.value == ["Because of *this*"]
    assert view.text.value == ""
    assert "\\*this\\*" in shown[-1][0]["text/markdown"]
    view.put.click()
    assert view.sentence.startswith("The answer is empty")
    view.take_back.click()
    assert view.value == []
    assert view.sentence == ""
    view.take_back.click()
    assert view.sentence == "There is no answer of yours to take back."
    view.save.click()
    assert view.sentence.startswith("Saved as")
    assert (tmp_path / "board-k.md").exists()


def test_a_seat_at_the_board(tmp_path, shown):
    view = board_view(Board("k", "Why?", seats=("for", "against"), folder=tmp_path))
    view.text.value, view.seat.value = "no", "against"
    view.put.click()
    assert [answer.seat for answer in view.board.answers()] == ["against"]


def test_a_full_disk_is_said_on_the_board_and_loses_nothing(tmp_path, shown, monkeypatch):
    def full(path, lines):
        raise OSError(errno.ENOSPC, "No space left on device")

    view = board_view(Board("k", "Why?", folder=tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_append", full)
        view.text.value = "kept"
        view.put.click()
        assert view.value == ["kept"]
        assert view.sentence.startswith("The disk is full")
    view.text.value = "next"
    view.put.click()
    assert view.value == ["kept", "next"]
    assert view.sentence == ""


def test_a_prediction_is_stored_once_and_then_told(tmp_path, shown):
    view = choice_view(
        "k", "Which?", ["a hen", "an egg"], right=1, why="Dinosaurs.", folder=tmp_path
    )
    assert "(a) a hen" in shown[0][0]["text/markdown"]
    assert "Dinosaurs" not in shown[0][0]["text/markdown"]
    assert view.value is None
    view.choices[0].click()
    view.choose(1)
    assert view.value == 0
    assert "You chose (a); it is (b). Dinosaurs." in shown[-1][0]["text/markdown"]
    assert [(r.item, r.answer) for r in Store("prediction", tmp_path).records()] == [("k", 0)]
    assert all(button.disabled for button in view.choices)
    again = choice_view(
        "k", "Which?", ["a hen", "an egg"], right=1, why="Dinosaurs.", folder=tmp_path
    )
    with pytest.raises(CourseError, match="choices 0 to 1"):
        again.choose(2)
    again.choices[1].click()
    assert "and so it is" in shown[-1][0]["text/markdown"]


# ---------------------------------------------------------------- rating

QUESTIONS = [
    Question("rule", "Which rule?"),
    Question("clear", "How clear is <it>?", ("not", "very"), first=1),
]


@pytest.fixture
def rated(tmp_path, shown):
    contents = []
    items = [Item(f"n{i}", "SoLU" if i % 2 else "GELU", f"content {i}") for i in range(3)]
    view = rating_view(
        Rating("rating", items, QUESTIONS, tmp_path, limit=60), contents.append, "Look closely."
    )
    return view, contents


def test_before_the_start_there_are_questions_and_no_items(rated, shown):
    view, contents = rated
    text = shown[0][0]["text/markdown"]
    assert "Look closely." in text
    assert "3 items in random order" in text
    assert "*1 not · 2 very*" in text
    assert not contents
    assert view.panel.layout.display == "none"
    assert view.progress.value == "0 of 3 done"
    assert view.rating.seconds is None


def test_a_rating_by_keys_and_buttons(rated, shown):
    view, contents = rated
    view.begin.click()
    assert len(contents) == 1
    assert view.asked.value == "<b>Which rule?</b>"
    assert view.choices[0].layout.display == "none"
    assert "left" in view.progress.value
    assert view.begin.layout.display == "none"
    view.key_box.value = "1"
    assert view.sentence.startswith("'1' means nothing here")
    view.text.value = "left or right"
    assert view.text.value == ""
    assert view.asked.value == "<b>How clear is &lt;it&gt;?</b>"
    assert view.text.layout.display == "none"
    assert [button.description for button in view.choices] == ["1 · not", "2 · very"]
    view.key_box.value += "9"
    assert view.sentence == "The answer is a number from 1 to 2, not 9."
    view.key_box.value = "1"  # deleting is going back
    assert view.asked.value == "<b>Which rule?</b>"
    assert view.sentence == ""
    assert len(contents) == 1
    view.text.value = "another"
    view.key_box.value += "2"
    assert len(contents) == 2
    assert view.progress.value.startswith("1 of 3")
    view.skip.click()
    assert len(contents) == 3
    view.back.click()
    assert len(contents) == 4
    assert contents[3] == contents[1]
    view.text.value = "a rule"
    view.choices[0].click()
    view.text.value = "last"
    view.choices[1].click()
    assert view.rating.done
    assert "Everything is rated" in shown[-1][0]["text/markdown"]
    assert view.panel.layout.display == "none"
    assert list(view.value.values()) == [
        {"rule": "another", "clear": 2},
        {"rule": "a rule", "clear": 1},
        {"rule": "last", "clear": 2},
    ]


def test_several_keys_at_once_all_count(tmp_path, shown):
    """A slow kernel gets what was typed meanwhile in one message."""
    rating = Rating("rating", [Item(f"n{i}", "c", i) for i in range(5)], QUESTIONS[1:], tmp_path)
    view = rating_view(rating, lambda content: None)
    view.begin.click()
    view.key_box.value = "121s"
    assert [answer and answer["clear"] for answer in rating.given.values()] == [1, 2, 1, None]


def test_the_rater_never_reads_a_condition(rated, shown, capsys):
    view, contents = rated
    view.begin.click()
    for number in range(3):
        view.text.value = f"rule {number}"
        view.key_box.value += "1"
    texts = [
        view.asked.value,
        view.progress.value,
        view.sentence,
        *(b.description + b.tooltip for b in view.choices),
        str(shown),
        capsys.readouterr().out,
    ]
    assert len(contents) == 3
    assert not any("LU" in text for text in texts)


def test_an_item_that_cannot_be_drawn_gets_a_sentence_and_can_be_passed_over(tmp_path, shown):
    def draw(content):
        raise ValueError("This neuron has no examples.")

    view = rating_view(Rating("rating", [Item("a", "c", 1)], QUESTIONS[1:], tmp_path), draw)
    view.begin.click()
    assert view.sentence == "This neuron has no examples."
    view.skip.click()
    assert view.rating.done
    assert view.value == {"a": None}


# ---------------------------------------------------------------- all views


def test_sentences():
    assert sentence_of(CourseError("Say\n  this.")) == "Say this."
    assert sentence_of(RuntimeError()) == "This did not work (RuntimeError: no message)"
    assert len(sentence_of(ValueError("x" * 10_000))) == 400


def test_without_a_kernel_a_reader_finds_a_line_of_text(tmp_path, shown):
    views = [
        playground(line, slope=(0.0, 5.0)),
        board_view(Board("k", "?", folder=tmp_path)),
        picture_input(print, read=open),
        choice_view("k", "?", ["a"], 0, "", tmp_path),
        rating_view(Rating("r", [], QUESTIONS, tmp_path), print),
    ]
    for view in views:
        assert (
            isinstance(view, View)
            and repr(view).endswith("run this cell to use it]")
            and len(repr(view)) <= 110
        ), repr(view)


def test_no_view_shadows_what_ipywidgets_needs(tmp_path, shown):
    """`keys`, `send` and their like belong to the widget; a part with that name would break it."""
    theirs = set(dir(widgets.VBox()))
    views = [
        playground(line, slope=(0.0, 5.0)),
        board_view(Board("k", "?", folder=tmp_path)),
        picture_input(print, read=open),
        choice_view("k", "?", ["a"], 0, "", tmp_path),
        rating_view(Rating("r", [], QUESTIONS, tmp_path), print),
    ]
    empty = type("Empty", (widgets.VBox,), {})  # what traitlets gives every class and object
    for view in views:
        ours = type(view).__mro__[: type(view).__mro__.index(widgets.VBox)]
        own = (
            set(vars(view)).union(*map(vars, ours))
            - set(vars(empty()))
            - set(vars(empty))
            - {"__init__", "__repr__"}
        )
        assert not own & theirs, (type(view).__name__, own & theirs)


def test_the_tools_load_without_torch_and_without_matplotlib():
    code = "import sys, helpers.lesson.widgets; print([m for m in ('torch', 'matplotlib', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_hiding_the_line_of_one_view_hides_no_other(tmp_path):
    one, other = (rating_view(Rating(name, [], QUESTIONS, tmp_path), print) for name in "ab")
    one.text.layout.display = "none"
    assert other.text.layout.display != "none"
