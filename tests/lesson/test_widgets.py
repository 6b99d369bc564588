"""The views without a browser: driven by their values; whatever goes wrong ends in one sentence."""

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
from matplotlib import pyplot as plt
from PIL import Image

from helpers.datasets.photos import open_picture
from helpers.ground.errors import CourseError
from helpers.lesson import answers
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
VIEW = "helpers.lesson.widgets.view"


@pytest.fixture(autouse=True)
def no_figures_of_other_tests():
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """What was published, in order: (data, metadata) each, and "cleared"."""
    published = []
    publish = lambda data, metadata: published.append((data, metadata))
    display = lambda thing: published.append(({"text/markdown": thing.data}, {}))
    monkeypatch.setattr(f"{VIEW}.publish_display_data", publish)
    monkeypatch.setattr(f"{VIEW}.display", display)
    monkeypatch.setattr(f"{VIEW}.clear_output", lambda wait: published.append("cleared"))
    return published


@pytest.fixture
def text(shown):
    """The Markdown that was shown last, or at a place."""
    return lambda place=-1: shown[place][0]["text/markdown"]


def line(slope=1.0, label="line"):
    if slope > 3:
        raise ValueError("Steeper than 3 leaves the picture.")
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, slope])
    ax.set_title(label)
    return fig


def slope_of(view) -> float:
    return view.result.axes[0].lines[0].get_ydata()[1]


# ---- playground


def test_a_playground_draws_at_once_and_at_every_change(shown):
    view = playground(line, slope=(0.0, 5.0, 0.5), label="a line")
    assert view.value == {"slope": 1.0, "label": "a line"}  # where draw has a default, it is taken
    ((data, metadata),) = shown
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "<figure>"
    assert metadata == {"image/png": {"alt": "a line"}}
    view.controls["slope"].value = 2.5
    assert shown[1] == "cleared"
    assert shown[2][0]["image/png"] != data["image/png"]
    assert slope_of(view) == 2.5
    assert not plt.get_fignums()  # or the notebook would show it twice


def test_an_error_while_drawing_is_one_sentence_and_goes_away(shown):
    view = playground(line, slope=(0.0, 5.0, 0.5))
    view.controls["slope"].value = 4.0
    assert view.sentence == "Steeper than 3 leaves the picture."
    assert "<b>Steeper" in view.note.value
    assert slope_of(view) == 1.0  # what was last good
    view.controls["slope"].value = 2.0
    assert (view.sentence, view.note.value, slope_of(view)) == ("", "", 2.0)


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


@pytest.mark.parametrize(
    ("short", "kind", "value"),
    [
        ((0, 4), widgets.IntSlider, 2),
        ((0.0, 1.0, 0.25), widgets.FloatSlider, 0.5),
        (["x", "y"], widgets.Dropdown, "x"),
        ({"one": 1, "two": 2}, widgets.Dropdown, 1),
        (True, widgets.Checkbox, True),
        ("text", widgets.Text, "text"),
        (widgets.ToggleButtons(options=["u", "v"]), widgets.ToggleButtons, "u"),
    ],
)
def test_short_forms_of_controls(shown, short, kind, value):
    view = playground(lambda **values: None, many_words=short)
    (control,) = view.controls.values()
    assert isinstance(control, kind)
    assert view.value == {"many_words": value}
    assert control.description == "many words"
    assert kind is not widgets.Text or not control.continuous_update


def test_what_is_no_control_is_told():
    with pytest.raises(CourseError, match=r"a=None is no control: give \(low, high\)"):
        playground(lambda a: None, a=None)


@pytest.mark.parametrize(("seconds", "follows"), [(0.0, True), (1.0, False)])
def test_a_slow_drawing_waits_until_the_slider_is_let_go(monkeypatch, shown, seconds, follows):
    ticks = iter([0.0, seconds])
    clock = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr("helpers.lesson.widgets.explore.time", clock)
    view = playground(line, slope=(0.0, 5.0))
    assert view.controls["slope"].continuous_update == follows


def test_the_courses_own_figures_show_themselves_once(shown):
    class Own:
        savefig = _ipython_display_ = data = None

    publish(Own())
    assert [list(data) for data, _ in shown] == [["text/markdown"]]  # handed on, not drawn again


# ---- a picture of one's own


def png(width=30, height=20):
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 128, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def no_picture(image):
    pytest.fail("must not be called")


SEVEN = {"cat.png": {"metadata": {"name": "cat.png", "size": 3}, "content": b"abc"}}
EIGHT = ({"name": "cat.png", "size": 3, "content": memoryview(b"abc"), "last_modified": 0},)


@pytest.mark.parametrize(
    ("value", "files"),
    [(SEVEN, [("cat.png", b"abc")]), (EIGHT, [("cat.png", b"abc")]), ({}, []), ((), [])],
)
def test_an_upload_in_both_formats(value, files):
    assert uploaded_files(value) == files


def test_a_picture_by_its_path_and_by_upload(tmp_path, shown):
    seen = []
    view = picture_input(seen.append, read=open_picture)
    (tmp_path / "my cat.png").write_bytes(png())
    view.path.value = f' "{tmp_path / "my cat.png"}" '  # with quotes, as file managers copy it
    assert view.sentence == ""
    view._uploaded({"new": ({"name": "b.png", "content": memoryview(png(40, 50))},)})
    assert [image.shape for image in seen] == [(20, 30, 3), (50, 40, 3)]
    assert view.value is seen[1]
    view.path.value = ""
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"Dear reader", "not a picture"), (png()[:60], "damaged|not a picture"), (b"", "empty")],
)
def test_what_is_no_picture_ends_in_a_sentence(tmp_path, shown, content, words):
    view = picture_input(no_picture, read=open_picture)
    (tmp_path / "a.png").write_bytes(content)
    view.path.value = str(tmp_path / "a.png")
    assert re.search(words, view.sentence)
    assert "did not work" not in view.sentence
    assert view.value is None
    view.path.value = str(tmp_path / "nowhere.png")
    assert view.sentence.startswith("There is no file")
    view.path.value = str(tmp_path)
    assert view.sentence


def test_a_picture_to_begin_with(shown):
    seen, start = [], np.zeros((4, 4, 3), np.uint8)
    assert picture_input(seen.append, read=open_picture, start=start).value is start
    assert seen == [start]


# ---- board and choice


def test_a_board_is_written_on(tmp_path, text):
    view = board_view(Board("k", "Why?", folder=tmp_path))
    assert text() == "### Why?\n\n*no answer yet*\n"
    assert view.seat.layout.display == "none"
    view.text.value = "Because of *this*"
    view.put.click()
    assert (view.value, view.text.value) == (["Because of *this*"], "")
    assert "\\*this\\*" in text()
    view.put.click()
    assert view.sentence.startswith("The answer is empty")
    view.take_back.click()
    assert (view.value, view.sentence) == ([], "")
    view.take_back.click()
    assert view.sentence == "There is no answer of yours to take back."
    view.save.click()
    assert view.sentence.startswith("Saved as")
    assert (tmp_path / "board-k.md").exists()


def test_answers_are_kept_in_one_file_and_leave_colab(tmp_path, text, monkeypatch):
    view = board_view(Board("k", "Which query?", folder=tmp_path))
    view.keep.click()
    assert "no answer of yours yet" in view.sentence
    view.text.value = "no cat"
    view.put.click()
    view.keep.click()
    assert view.kept.exists()
    assert str(view.kept) in view.sentence
    left = []
    files = SimpleNamespace(download=left.append)
    monkeypatch.setitem(sys.modules, "google.colab.files", files)
    monkeypatch.setattr("helpers.lesson.widgets.class_widgets.in_colab", lambda: True)
    view.keep.click()
    assert left == [str(view.kept)]


def test_a_seat_at_the_board(tmp_path, shown):
    view = board_view(Board("k", "Why?", seats=("for", "against"), folder=tmp_path))
    view.text.value, view.seat.value = "no", "against"
    view.put.click()
    assert [answer.condition for answer in view.board.answers()] == ["against"]


def test_a_full_disk_is_said_on_the_board_and_loses_nothing(tmp_path, shown, monkeypatch):
    def full(path, lines):
        raise OSError(errno.ENOSPC, "No space left on device")

    view = board_view(Board("k", "Why?", folder=tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(answers, "_append", full)
        view.text.value = "kept"
        view.put.click()
        assert view.value == ["kept"]
        assert view.sentence.startswith("The disk is full")
    view.text.value = "next"
    view.put.click()
    assert (view.value, view.sentence) == (["kept", "next"], "")


EGGS = {"question": "Which?", "choices": ["a hen", "an egg"], "right": 1, "why": "Dinosaurs."}


def test_a_prediction_is_stored_once_and_then_told(tmp_path, text):
    view = choice_view("k", **EGGS, folder=tmp_path)
    assert "(a) a hen" in text()
    assert "Dinosaurs" not in text()
    assert view.value is None
    with pytest.raises(CourseError, match="choices 0 to 1"):
        view.choose(2)
    view.choices[0].click()
    view.choose(1)
    assert view.value == 0
    assert "You chose (a); it is (b). Dinosaurs." in text()
    assert [(r.item, r.answer) for r in Store("prediction", tmp_path).records()] == [("k", 0)]
    assert all(button.disabled for button in view.choices)
    again = choice_view("k", **EGGS, folder=tmp_path)  # the cell was run again: it is told already
    again.choices[1].click()
    assert "You chose (a); it is (b). Dinosaurs." in text()
    assert len(Store("prediction", tmp_path).records()) == 1
    choice_view("l", **EGGS, folder=tmp_path).choices[1].click()
    assert "You chose (b), and so it is. Dinosaurs." in text()


# ---- rating

QUESTIONS = [
    Question("rule", "Which rule?"),
    Question("clear", "How clear is <it>?", ("not", "very"), first=1),
]


@pytest.fixture
def rated(tmp_path, shown):
    contents = []
    items = [Item(f"n{i}", "SoLU" if i % 2 else "GELU", f"content {i}") for i in range(3)]
    rating = Rating("rating", items, QUESTIONS, tmp_path, limit=60)
    return rating_view(rating, contents.append, "Look closely."), contents


def test_before_the_start_there_are_questions_and_no_items(rated, text):
    view, contents = rated
    for part in ("Look closely.", "3 items in random order", "*1 not · 2 very*", "(in your words)"):
        assert part in text(0)
    assert not contents
    assert (view.panel.layout.display, view.progress.value) == ("none", "0 of 3 done")
    assert view.rating.seconds is None


def test_a_rating_by_keys_and_buttons(rated, text):
    view, contents = rated
    view.begin.click()
    assert len(contents) == 1
    assert view.asked.value == "<b>Which rule?</b>"
    assert view.choices[0].layout.display == view.begin.layout.display == "none"
    assert "left" in view.progress.value
    view.key_box.value = "1"
    assert view.sentence.startswith("'1' means nothing here")
    view.text.value = "left or right"
    assert view.asked.value == "<b>How clear is &lt;it&gt;?</b>"
    assert (view.text.value, view.text.layout.display) == ("", "none")
    assert [button.description for button in view.choices] == ["1 · not", "2 · very"]
    view.key_box.value += "9"
    assert view.sentence == "The answer is a number from 1 to 2, not 9."
    view.key_box.value = "1"  # deleting is going back
    assert (view.asked.value, view.sentence) == ("<b>Which rule?</b>", "")
    assert len(contents) == 1
    view.text.value = "another"
    view.key_box.value += "2"
    assert len(contents) == 2
    assert view.progress.value.startswith("1 of 3")
    view.skip.click()
    assert len(contents) == 3
    view.back.click()
    assert contents[3:] == [contents[1]]  # the item before, again
    for rule, place in (("a rule", 0), ("last", 1)):
        view.text.value = rule
        view.choices[place].click()
    assert view.rating.done
    assert "Everything is rated" in text()
    assert view.panel.layout.display == "none"
    given = [(answer["rule"], answer["clear"]) for answer in view.value.values()]
    assert given == [("another", 2), ("a rule", 1), ("last", 2)]


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
    labels = [button.description + button.tooltip for button in view.choices]
    texts = [view.asked.value, view.progress.value, view.sentence, *labels, str(shown)]
    assert len(contents) == 3
    assert "LU" not in " ".join([*texts, capsys.readouterr().out])


def test_an_item_that_cannot_be_drawn_gets_a_sentence_and_can_be_passed_over(tmp_path, shown):
    def draw(content):
        raise ValueError("This neuron has no examples.")

    view = rating_view(Rating("rating", [Item("a", "c", 1)], QUESTIONS[1:], tmp_path), draw)
    view.begin.click()
    assert view.sentence == "This neuron has no examples."
    view.skip.click()
    assert view.value == {"a": None}
    assert view.rating.done


# ---- all views

VIEWS = {
    "playground": lambda folder: playground(line, slope=(0.0, 5.0)),
    "board": lambda folder: board_view(Board("k", "?", folder=folder)),
    "picture": lambda folder: picture_input(print, read=open),
    "choice": lambda folder: choice_view("k", "?", ["a"], 0, "", folder),
    "rating": lambda folder: rating_view(Rating("r", [], QUESTIONS, folder), print),
}


def test_sentences():
    assert sentence_of(CourseError("Say\n  this.")) == "Say this."
    assert sentence_of(RuntimeError()) == "This did not work (RuntimeError: no message)"
    assert len(sentence_of(ValueError("x" * 10_000))) == 400


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_a_view_is_a_line_of_text_without_a_kernel_and_shadows_nothing(tmp_path, shown, make):
    """`keys`, `send` and their like belong to the widget; a part with that name would break it."""
    view = make(tmp_path)
    assert repr(view).endswith("run this cell to use it]")
    assert len(repr(view)) <= 110
    classes = type(view).__mro__[: type(view).__mro__.index(widgets.VBox)]
    assert View in classes
    parts = set(vars(view)).union(*map(vars, classes))
    empty = type("Empty", (widgets.VBox,), {})  # what traitlets gives every class and object
    parts -= {*vars(empty()), *vars(empty), "__init__", "__repr__"}
    parts -= {"__firstlineno__", "__static_attributes__"}  # Python 3.13 gives these to every class
    assert not parts & set(dir(widgets.VBox()))


def test_the_views_load_without_torch_and_without_matplotlib():
    heavy = "('torch', 'matplotlib', 'numpy')"
    code = f"import sys, helpers.lesson.widgets; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_hiding_the_line_of_one_view_hides_no_other(tmp_path):
    one, other = (rating_view(Rating(name, [], QUESTIONS, tmp_path), print) for name in "ab")
    one.text.layout.display = "none"
    assert other.text.layout.display != "none"
