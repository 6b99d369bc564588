"""Every lesson on a projector: 1,366 pixels at 125 %. Nothing has to be scrolled sideways."""

from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
TOO_WIDE = """() => [...document.querySelectorAll(
    '.jp-Notebook .cm-scroller, .jp-Notebook .jp-OutputArea-output, .jp-Notebook .jp-MarkdownOutput'
)].filter(part => part.offsetParent && part.scrollWidth > part.clientWidth + 1)
  .map(part => `${part.scrollWidth - part.clientWidth} px: ${part.innerText.slice(0, 60)}`)"""


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_on_a_projector(open_notebook, path):
    book = open_notebook(path)
    book.page.set_viewport_size({"width": round(1366 / 1.25), "height": round(768 / 1.25)})
    book.page.wait_for_timeout(500)
    assert book.page.evaluate(TOO_WIDE) == []
