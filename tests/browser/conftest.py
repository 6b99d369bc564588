"""JupyterLab in a real chromium: the server as `lab` starts it, notebooks in a passing folder, and
a hand to use them.

No chromium or no playwright: skipped, with the reason; an error when CI is set. Every page that a
test opens is watched:
a request to anything but localhost fails the test, and so does an error dialog or a widget that
could not be shown.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from helpers import cli

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-default-apps",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HERE = ("localhost", "127.0.0.1", "[::1]")
PROJECTOR = {  # 1,280 pixels at 125 %, as TEACHING asks
    "viewport": {"width": 1024, "height": 720},
    "device_scale_factor": 1.25,
}
CUT = """() => {
    const shown = what => [...document.querySelectorAll(what)].filter(part => part.offsetParent);
    const edge = part => part.closest('.jp-NotebookPanel').getBoundingClientRect().right;
    const name = (part, over) => `${Math.ceil(over)} px, ${part.className}: ` +
        part.textContent.trim().slice(0, 60);
    const outputs = shown('.jp-NotebookPanel .jp-OutputArea-output')
        .map(part => [part, part.scrollWidth - part.clientWidth]);
    const tools = shown('.jp-NotebookPanel .jp-OutputArea-output '
        + ':is(button, input, textarea, select, .noUi-target)')
        .map(part => [part, part.getBoundingClientRect().right - edge(part)]);
    return [...outputs, ...tools].filter(([_, over]) => over > 1).map(([a, b]) => name(a, b)) }"""


def pytest_collection_modifyitems(items):
    """Everything in this folder needs a browser and gets its own time-out's worth of patience."""
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


def left_out(reason: str):
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def find_browser() -> str | None:
    """The chromium that COURSE_BROWSER names, or the first one on the path."""
    named = os.environ.get("COURSE_BROWSER")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="session")
def chromium():
    """A running chromium, driven through playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        left_out("playwright is not installed (tests/requirements.txt)")
    path = find_browser()
    if not path:
        left_out("no chromium is found: install one, or name it in COURSE_BROWSER")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Lab:
    """A JupyterLab server, started with the very arguments and settings that `python -m helpers
    lab` uses."""

    def __init__(self, folder: Path, **settings: str):
        self.folder, self.token = folder, secrets.token_hex(8)
        (folder / "notebooks").mkdir(parents=True)
        self._write_settings()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [
            part
            for part in cli.lab_command("", self.port, "localhost", False)
            if part != str(cli.ROOT) and not part.startswith("--ServerApp.root_dir")
        ]
        command += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
        environment = {
            **os.environ,
            **cli.quiet_lab(),
            "JUPYTER_TOKEN": self.token,
            "COURSE_TEST": "1",
            "COURSE_THREADS": os.environ.get("COURSE_THREADS", "2"),
            "COURSE_CLASS": str(folder / "class"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        self.log = open(folder / "server.log", "w+", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self.log, stderr=subprocess.STDOUT
        )
        self._wait()

    def _write_settings(self) -> None:
        """All cells stay in the page, so that a test finds them wherever the page is scrolled
        to."""
        file = (
            self.folder
            / "settings"
            / "@jupyterlab"
            / "notebook-extension"
            / "tracker.jupyterlab-settings"
        )
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"windowingMode": "none"}), encoding="utf-8")

    def address(self, path: str = "lab") -> str:
        return f"http://localhost:{self.port}/{path}?token={self.token}"

    def _wait(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(self.address("api/status"), timeout=5):
                return
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(
            "JupyterLab did not start:\n"
            + (self.folder / "server.log").read_text(encoding="utf-8")[-3000:]
        )

    def kernels(self) -> list[dict]:
        with urllib.request.urlopen(self.address("api/kernels"), timeout=30) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End every kernel, then the server."""
        with suppress(OSError):
            for kernel in self.kernels():
                urllib.request.urlopen(
                    urllib.request.Request(
                        self.address(f"api/kernels/{kernel['id']}"), method="DELETE"
                    ),
                    timeout=30,
                ).close()
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


@pytest.fixture(scope="session")
def lab(chromium):
    """The server. Its folder lies inside the course, so that the set-up cell finds `helpers`, and
    goes afterwards."""
    parent = ROOT / ".pytest_cache"
    parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="lab-", dir=parent))
    server = Lab(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


class Notebook:
    """One notebook in the browser, and what a person does with it."""

    def __init__(self, page, lab: Lab, name: str):
        self.page, self.lab, self.name, self.ran = page, lab, name, set()
        page.goto(
            lab.address(f"lab/tree/notebooks/{name}") + "&reset", wait_until="domcontentloaded"
        )
        try:
            page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
            self.wait_idle()
        except Exception as error:
            self.shot("not-opened")
            log = (lab.folder / "server.log").read_text(encoding="utf-8")[-2000:]
            raise AssertionError(
                f"{name} did not open. The page says: {page.inner_text('body')[:500]}\nThe "
                f"server: {log}"
            ) from error

    def wait_idle(self, seconds: float = 90) -> None:
        """Until the status bar says that the kernel is idle: before that, running cells does
        nothing."""
        self.page.wait_for_selector(
            ".jp-StatusBar-TextItem:has-text('| Idle')", timeout=seconds * 1000
        )

    def _command(self, command: str, seconds: float) -> None:
        """Run one of JupyterLab's commands to its end; not awaited inside the page, which would
        block it."""
        self.page.evaluate(
            """command => { window.courseDone = false;
            window.jupyterapp.commands.execute(command)
                .finally(() => { window.courseDone = true }); }""",
            command,
        )
        self.page.wait_for_function("window.courseDone", timeout=seconds * 1000)
        self.wait_idle()

    def run_all(self, seconds: float = 300, may_fail: bool = False) -> None:
        """Run > Run All Cells; fails with the message of a cell that ends in an error."""
        self._command("notebook:run-all-cells", seconds)
        if not may_fail:
            assert not self.errors(), f"{self.name}: " + "\n".join(self.errors())
            assert None not in self.counts(), (
                f"{self.name}: some cells did not run: {self.counts()}"
            )

    def run(self, *texts: str, seconds: float = 300) -> None:
        """Run the set-up cell and the cells with these texts, in order: enough for a test of one
        widget in a long lesson."""
        for text in ("course = setup()", *texts):
            number = self.find(text)
            self.ran.add(number)
            self.page.evaluate(
                "number => { const book = window.jupyterapp.shell.currentWidget.content; "
                "book.activeCellIndex = number; book.deselectAll() }",
                number,
            )
            self._command("notebook:run-cell", seconds)
            assert not (failed := self.errors_of(number)), (
                f"{self.name}, the cell with {text!r}: {failed}"
            )

    def start(self, text: str) -> None:
        """Set a cell going and return at once, to watch what it draws; end with `wait_idle`."""
        self.ran.add(number := self.find(text))
        self.page.evaluate(
            """number => { const book = window.jupyterapp.shell.currentWidget.content;
            book.activeCellIndex = number; book.deselectAll();
            window.jupyterapp.commands.execute("notebook:run-cell") }""",
            number,
        )

    def errors_of(self, number: int) -> list[str]:
        return [
            f"{output['ename']}: {output['evalue']}"
            for output in self.model()[number].get("outputs", [])
            if output["output_type"] == "error"
        ]

    def model(self) -> list[dict]:
        """The cells as they would be saved."""
        return self.page.evaluate(
            "window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"
        )

    def counts(self) -> list[int | None]:
        return [
            cell["execution_count"]
            for cell in self.model()
            if cell["cell_type"] == "code" and "".join(cell["source"]).strip()
        ]

    def errors(self) -> list[str]:
        return [error for number in range(len(self.model())) for error in self.errors_of(number)]

    def texts(self, number: int | None = None) -> list[str]:
        """Every line of text that one cell or all cells have put out, claims included."""
        cells = self.model() if number is None else [self.model()[number]]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        texts = [
            "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
            for output in outputs
        ]
        return [line for text in texts for line in text.splitlines()]

    def find(self, text: str) -> int:
        """The number of the one code cell that contains this text, however its lines are broken."""
        wanted = "".join(text.split())
        found = [
            number
            for number, cell in enumerate(self.model())
            if cell["cell_type"] == "code" and wanted in "".join("".join(cell["source"]).split())
        ]
        assert len(found) == 1, f"{self.name}: {len(found)} code cells contain {text!r}"
        return found[0]

    def source(self, text: str) -> str:
        """What stands in the one code cell that contains this text."""
        return "".join(self.model()[self.find(text)]["source"])

    def cell(self, text: str):
        """The cell on the page (a playwright locator), scrolled to."""
        cell = self.page.locator(".jp-Notebook .jp-Cell").nth(self.find(text))
        cell.scroll_into_view_if_needed()
        return cell

    def output(self, text: str) -> str:
        """All that can be read under a cell."""
        return "\n".join(self.cell(text).locator(".jp-OutputArea-output").all_inner_texts())

    def wait_for(self, cell: str, text: str, seconds: float = 60):
        """Until this text stands under the cell, in its output or a widget."""
        where = self.cell(cell).locator(".jp-Cell-outputWrapper")
        where.get_by_text(text).first.wait_for(timeout=seconds * 1000)
        return where

    def wait_gone(self, cell: str, text: str, seconds: float = 60) -> None:
        """Until this text no longer stands under the cell."""
        where = self.cell(cell).locator(".jp-Cell-outputWrapper")
        where.get_by_text(text).first.wait_for(state="detached", timeout=seconds * 1000)

    def rewrite(self, text: str, code: str, seconds: float = 60) -> str:
        """Select all in a cell, put `code` there, run it, and return the text it put out."""
        number = self.find(text)
        self.cell(text).locator(".jp-InputArea-editor .cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(
            code
        )  # at once, as pasting does: the editor would indent typed lines
        self._command("notebook:run-cell", seconds)
        return "\n".join(self.texts(number))

    def button(self, cell: str, name: str):
        return self.cell(cell).locator(".jp-Cell-outputWrapper").get_by_role("button", name=name)

    def press_slider(
        self, cell: str, key: str = "ArrowRight", times: int = 1, which: int = 0
    ) -> None:
        """Put the focus on a slider's handle and press a key."""
        handle = self.cell(cell).locator(".noUi-handle").nth(which)
        handle.focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def picture(self, cell: str, which: int = 0) -> str:
        """The address (data:...) of a picture under a cell: another picture, another address."""
        return self.cell(cell).locator(".jp-Cell-outputWrapper img").nth(which).get_attribute("src")

    def wait_new_picture(self, cell: str, old: str, seconds: float = 60) -> str:
        number = self.find(cell)
        self.page.wait_for_function(
            """([number, old]) => {
               const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[number];
               const picture = cell.querySelector('.jp-Cell-outputWrapper img');
               return picture && picture.src != old }""",
            arg=[number, old],
            timeout=seconds * 1000,
        )
        return self.picture(cell)

    def check_widgets(self) -> int:
        """Every stored line "[...: run this cell to use it]", of the cells that ran, has become a
        view; returns how many there are."""
        promised = [
            number
            for number, cell in enumerate(self.model())
            for output in cell.get("outputs", [])
            if number in (self.ran or range(10**6))
            and "run this cell to use it]" in "".join(output.get("data", {}).get("text/plain", ""))
        ]
        for number in promised:
            view = (
                self.page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".course-view").first
            )
            view.scroll_into_view_if_needed()
            view.wait_for(timeout=60_000)
            assert view.bounding_box()["height"] > 50, (
                f"{self.name}: the view in cell {number} is empty"
            )
        return len(promised)

    def shot(self, name: str, cell: str | None = None) -> None:
        """A picture for whoever looks: in the folder COURSE_SHOTS, if that is set."""
        if folder := os.environ.get("COURSE_SHOTS"):
            (self.cell(cell) if cell else self.page).screenshot(
                path=str(Path(folder) / f"{name}.png")
            )


@pytest.fixture
def open_notebook(chromium, lab):
    """open_notebook(path) copies a notebook into the server's folder and opens it; pages are
    watched and closed. No answer of an earlier test is left in `class/`."""
    shutil.rmtree(lab.folder / "class", ignore_errors=True)
    context = chromium.new_context(**PROJECTOR)
    outside, broken = [], []
    context.on(
        "request",
        lambda request: outside.append(request.url) if not _is_here(request.url) else None,
    )
    context.on("weberror", lambda error: broken.append(str(error.error)))
    opened = []

    def open_it(path: Path) -> Notebook:
        shutil.copy(path, lab.folder / "notebooks" / path.name)
        page = context.new_page()
        page.on(
            "websocket",
            lambda socket: outside.append(socket.url) if not _is_here(socket.url) else None,
        )
        opened.append(Notebook(page, lab, path.name))
        return opened[-1]

    yield open_it
    for book in opened:  # what it looked like at the end, also after a failure
        book.shot(f"last-{book.name}")
    widgets_lost = [
        book.name for book in opened if book.page.get_by_text("Error displaying widget").count()
    ]
    cut = {book.name: parts for book in opened if (parts := book.page.evaluate(CUT))}
    context.close()
    with suppress(OSError):  # a test's kernels do not take the memory of the next
        for kernel in lab.kernels():
            urllib.request.urlopen(
                urllib.request.Request(lab.address(f"api/kernels/{kernel['id']}"), method="DELETE"),
                timeout=30,
            ).close()
    assert not outside, f"requests that left this machine: {outside}"
    assert not widgets_lost, f"widgets that could not be shown: {widgets_lost}"
    assert not broken, f"errors in the page: {broken}"
    assert not cut, f"to be scrolled sideways on a projector: {cut}"


def _is_here(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in (
        "localhost",
        "127.0.0.1",
        "::1",
    )
