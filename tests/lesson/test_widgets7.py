"""The kernel side of every view under Colab's ipywidgets 7, spoken to as a page would."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager

from helpers.ground import ROOT

FOLDER = ROOT / ".pytest_cache" / "widgets7"
ALONE = [
    "ipywidgets==7.7.1",
    "ipython_genutils==0.2.0",
]  # without widgetsnbextension, which brings a whole server
PINS = [
    "ipython==7.34.0",
    "ipykernel==6.17.1",
    "traitlets==5.7.1",
    "jupyter_client==7.4.9",
    "setuptools<81",
    "filelock",
    "regex",
    "numpy==2.1.3",
    "matplotlib==3.10.0",
]
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="session")
def old_python():
    """An environment with Colab's versions, made once and kept; skipped where it cannot be made."""
    python = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made = FOLDER / "made.json"
    if not made.exists() or json.loads(made.read_text()) != [sys.version, *ALONE, *PINS]:
        shutil.rmtree(FOLDER, ignore_errors=True)
        venv.create(FOLDER, with_pip=True)
        for what in (PINS, ["--no-deps", *ALONE]):
            done = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", *what], capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"ipywidgets 7 could not be installed: {done.stderr.strip()[-200:]}")
        command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": command, "display_name": "7", "language": "python"}
        (FOLDER / "kernels" / "seven").mkdir(parents=True)
        (FOLDER / "kernels" / "seven" / "kernel.json").write_text(json.dumps(spec))
        made.write_text(json.dumps([sys.version, *ALONE, *PINS]))
    return python


class Page:
    """What a page does: runs cells, moves sliders, clicks, and collects what the kernel sends."""

    def __init__(self, folder: Path):
        specs = KernelSpecManager(kernel_dirs=[str(FOLDER / "kernels")], ensure_native_kernel=False)
        self.manager = KernelManager(kernel_name="seven", kernel_spec_manager=specs)
        settings = {"COURSE_CLASS": str(folder), "PYTHONPATH": str(ROOT), "COURSE_TEST": "1"}
        self.manager.start_kernel(env={**os.environ, **settings}, cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def run(self, code: str) -> list[dict]:
        """Run a cell; returns its messages, fails with its error."""
        messages = []
        reply = self.client.execute_interactive(
            textwrap.dedent(code), output_hook=messages.append, timeout=120
        )
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", []))
        return messages

    def ask(self, expression: str):
        """The value of an expression that JSON can hold."""
        return json.loads(printed(self.run(f"import json; print(json.dumps({expression}))")))

    def send(self, widget: str, data: dict) -> list[dict]:
        """A message from the page to one widget; returns what the kernel publishes in answer."""
        model = self.ask(f"{widget}.model_id")
        message = self.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        self.client.shell_channel.send(message)
        answers = []
        while True:
            answer = self.client.get_iopub_msg(timeout=60)
            if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                answers.append(answer)
                if (
                    answer["msg_type"] == "status"
                    and answer["content"]["execution_state"] == "idle"
                ):
                    return answers

    def change(self, widget: str, **state) -> list[dict]:
        return self.send(widget, {"method": "update", "state": state, "buffer_paths": []})

    def click(self, widget: str) -> list[dict]:
        return self.send(widget, {"method": "custom", "content": {"event": "click"}})

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def shown(messages: list[dict], kind: str) -> list:
    """The contents of one MIME type among what was displayed."""
    return [m["content"]["data"][kind] for m in messages if kind in m["content"].get("data", {})]


def printed(messages: list[dict]) -> str:
    """What was printed."""
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")


@pytest.fixture
def page(old_python, tmp_path):
    page = Page(tmp_path)
    yield page
    page.stop()


def test_every_view_under_ipywidgets_7(page):
    """One kernel for all of them; each part stands alone."""
    page.run("import importlib.util, IPython, ipywidgets")
    versions = page.ask("[ipywidgets.__version__, IPython.__version__]")
    assert versions == ["7.7.1", "7.34.0"]
    assert not page.ask("[m for m in ('torch', 'skimage') if importlib.util.find_spec(m)]")
    explore = (a_playground, a_picture, a_text_to_weigh, a_feature_explorer)
    for part in (*explore, a_board, a_prediction, a_rating, a_rule):
        part(page)


def a_playground(page):
    messages = page.run("""
        import matplotlib.pyplot as plt
        from helpers.lesson.widgets import playground
        def draw(x=1, name="a"):
            if x == 3: raise ValueError("Three is too many.")
            plt.figure().add_subplot().plot([0, x])
        view = playground(draw, x=(0, 5), name="a")
        view""")
    (picture,) = shown(messages, "image/png")
    assert len(shown(messages, WIDGET)) == 1
    line = "[a figure with controls: x, name: run this cell to use it]"
    assert shown(messages, "text/plain") == ["<figure>", line]
    after = page.change("view.controls['x']", value=2)
    (other,) = shown(after, "image/png")
    assert other != picture
    assert [m["msg_type"] for m in after].count("clear_output") == 1
    assert page.ask("view.value") == {"x": 2, "name": "a"}
    assert not shown(page.change("view.controls['x']", value=3), "image/png")
    assert page.ask("view.sentence") == "Three is too many."
    page.change("view.controls['name']", value="b")
    assert page.ask("view.value") == {"x": 3, "name": "b"}


def a_board(page):
    messages = page.run("""
        from helpers.lesson.boards import Board
        from helpers.lesson.widgets import board_view
        view = board_view(Board("k", "Why?", seats=("for", "against")))
        view""")
    assert shown(messages, "text/markdown") == [
        "### Why?\n\n**for**\n\n*no answer yet*\n\n**against**\n\n*no answer yet*\n"
    ]
    page.change("view.seat", index=1)
    page.change("view.text", value="no")
    assert "**against**\n\n- no" in shown(page.click("view.put"), "text/markdown")[0]
    assert page.ask("[view.value, view.text.value]") == [["no"], ""]
    page.click("view.put")
    assert page.ask("view.sentence").startswith("The answer is empty")
    page.click("view.save")
    assert page.ask("view.sentence").startswith("Saved as")
    page.click("view.take_back")
    assert page.ask("view.value") == []


def a_prediction(page):
    page.run("""
        from helpers.lesson.widgets import choice_view
        view = choice_view("k", "Which?", ["a hen", "an egg"], right=1, why="Dinosaurs.")
        view""")
    assert "You chose (a); it is (b)." in shown(page.click("view.choices[0]"), "text/markdown")[0]
    assert page.ask("[view.value, view.choices[1].disabled]") == [0, True]


def a_rating(page):
    page.run("""
        from helpers.lesson.rating import Item, Question, Rating
        from helpers.lesson.widgets import rating_view
        items = [Item(str(i), "c", f"content {i}") for i in range(3)]
        questions = [Question("rule", "Which?"), Question("clear", "How clear?", ("not", "very"))]
        view = rating_view(Rating("rating", items, questions, limit=120), print)
        view""")
    started = page.click("view.begin")
    assert "content" in printed(started)
    for key in ("0", "01", "011"):
        page.change("view.text", value="a rule")
        page.change("view.key_box", value=key)
    given = page.ask("[view.rating.done, sorted(a['clear'] for a in view.value.values())]")
    assert given == [True, [0, 1, 1]]


def a_picture(page):
    page.run("""
        from helpers.lesson.widgets import picture_input
        seen = []
        def read(source, name=None):
            return (source if isinstance(source, str) else source.decode(), name)
        view = picture_input(seen.append, read=read)
        view""")
    page.change("view.path", value="cat.png")
    page.run("""
        file = {"name": "b.png", "type": "image/png", "size": 3, "lastModified": 1}
        data = [memoryview(b"abc")]
        view.upload.set_state({"metadata": [file], "data": data, "_counter": 1})""")
    assert page.ask("seen") == [["cat.png", None], ["abc", "b.png"]]


def a_text_to_weigh(page):
    messages = page.run("""
        from notebooks.support.lesson04.attention_editor import weigh_view
        draw = lambda weights: print("last", round(weights[2], 3))
        view = weigh_view(["a", "good", "film"], [0.5, 0.25, 0.25], draw)
        view""")
    assert len(shown(messages, WIDGET)) == 1
    page.change("view.share", value=0.6)
    assert "last 0.7" in printed(page.click("view.buttons[2]"))
    words = ["a · 20 %", "good · 10 %", "film · 70 %"]
    assert page.ask("[b.description for b in view.buttons]") == words
    page.click("view.undo")
    assert page.ask("view.value") == [0.5, 0.25, 0.25]


def a_feature_explorer(page):
    messages = page.run("""
        from notebooks.support.lesson11.feature_widget import feature_view
        class Relative:
            relation, where, closeness = "child", "a1", 0.5
            def __init__(self, number): self.number = number
        class Sheet:
            def __init__(self, text): self.text, self.relatives = text, [Relative(3)]
            def __repr__(self): return self.text
        class Atlas:                               # the real one needs torch
            sizes, kinds = {"a0": 2, "a1": 9}, ("code", "mathematics")
            def called(self, where, number):
                if not 0 <= number < self.sizes[where]:
                    raise ValueError(f"There is no feature {number}.")
                return f"A/{where[1:]}/{number}"
            def name(self, where, number): return "‘x’ · code"
            def best(self, where, kind): return len(kind) - 4
            def page(self, where, number): return Sheet("page " + self.called(where, number))
            def read(self, where, text): return [("x", [(7, 1.5)])]
        view = feature_view(Atlas(), "a0", 1)
        view""")
    assert len(shown(messages, WIDGET)) == 1
    assert "page A/0/1" in shown(messages, "text/plain")
    assert "page A/1/3" in shown(page.click("view.relatives[0]"), "text/plain")
    where = page.ask("[view.value, view.dictionary.value, view.feature.value]")
    assert where == [["a1", 3], "a1", 3]
    page.change("view.feature", value=99)
    assert page.ask("[view.sentence, view.feature.value]") == ["There is no feature 99.", 3]
    page.change("view.text", value="x")
    page.change("view.firing", index=1)
    assert page.ask("view.value") == ["a1", 7]
    page.change("view.kind", index=1)
    page.click("view.back")
    assert page.ask("[view.value, view.kind.value, view.back.disabled]") == [["a1", 7], "", False]


NO_TORCH = """
import sys, types                    # what these views show needs torch, the views do not
torch = types.ModuleType("torch")
torch.Tensor = type("Tensor", (), {})
sys.modules["torch"] = torch
sys.modules["helpers.datasets.corpus"] = types.ModuleType("corpus")
"""


def a_rule(page):
    page.run(NO_TORCH)
    messages = page.run("""
        from types import SimpleNamespace
        from helpers.ground.errors import CourseError
        from notebooks.support.lesson08.neuron_puzzle import Puzzle, Ranked
        from notebooks.support.lesson08.rules import Score
        from notebooks.support.lesson08.puzzle_widget import rule_view
        class Round:                               # the real one scores with torch
            puzzle = lambda n: Puzzle(n, f"neuron {n}", f"firings of {n}", None, None, "the answer")
            puzzles = {"1": puzzle("1"), "2": puzzle("2")}
            store, left_out, rules = SimpleNamespace(trouble=""), "Left out: a file.", []
            def ranking(self, key): return self.rules
            def submit(self, key, kind, rule, judged):
                if rule == "(": raise CourseError("This is no regular expression.")
                score = Score((9, 0, 0, 0, 4), (1, 0, 0, 0, 3))
                self.rules.append(Ranked(kind, rule, score, True))
                return score
        view = rule_view(Round())
        view""")
    assert len(shown(messages, WIDGET)) == 1
    assert "'firings of 1'" in shown(messages, "text/plain")
    page.change("view.kind", index=3)
    page.change("view.text", value="(")
    assert page.ask("[view.sentence, len(view.value)]") == ["This is no regular expression.", 0]
    page.change("view.kind", index=2)
    page.change("view.text", value="ing")
    assert page.ask("[[r.kind, r.rule, r.own] for r in view.value]") == [["suffix", "ing", True]]
    page.run("told = view.round.rules[0].score")
    assert page.ask("[told.recall, view.text.value]") == [0.75, ""]
    (board,) = shown(page.change("view.neuron", index=1), "text/html")
    for said in ("suffix: <code>ing</code>", "yours", "Left out: a file.", "the answer"):
        assert said in board
    page.click("view.score_it")
    assert page.ask("len(view.value)") == 2 or page.ask("view.sentence")
