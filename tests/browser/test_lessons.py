"""Every lesson without a browser test of its own: it runs in JupyterLab from the first cell to the
last, and its views open."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LESSONS = sorted((HERE.parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize(
    "path",
    [path for path in LESSONS if not (HERE / f"test_lesson{path.name[:2]}.py").exists()],
    ids=lambda path: path.stem,
)
def test_a_lesson_runs_and_its_views_open(open_notebook, path):
    book = open_notebook(path)
    book.run_all(seconds=1200)
    assert book.check_widgets() >= 1, f"{path.name} has no activity"
    for number in range(
        book.page.locator(".jp-Notebook .noUi-handle").count()
    ):  # each slider, one step to and fro
        handle = book.page.locator(".jp-Notebook .noUi-handle").nth(number)
        if handle.is_visible():
            for key in ("ArrowRight", "ArrowLeft"):
                handle.press(key)
            book.wait_idle()
    assert not book.errors()
    assert book.page.get_by_text("This did not work (").count() == 0
