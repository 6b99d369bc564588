"""The pages in JupyterLab: TEACHING opens as a page with its pictures, and its links lead to the
section of a lesson and to a word."""

import shutil
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def in_view(page, heading: str) -> None:
    """Until the heading with this name stands in the window."""
    page.wait_for_function(
        """name => [...document.querySelectorAll('h1, h2, h3')].some(heading => {
        const box = heading.getBoundingClientRect();
        return heading.textContent.startsWith(name) && box.height > 0
            && box.top >= 0 && box.top < innerHeight })""",
        arg=heading,
        timeout=60_000,
    )


def test_links_of_the_teachers_page_lead_to_sections(open_notebook, lab):
    book = open_notebook(
        NOTEBOOKS / "01_saliency_maps.ipynb"
    )  # what the links lead to lies beside the page
    for name in ("TEACHING.md", "GLOSSARY.md", "CLAIMS.md"):
        shutil.copy(NOTEBOOKS / name, lab.folder / "notebooks" / name)
    shutil.copytree(
        NOTEBOOKS / "pictures", lab.folder / "notebooks" / "pictures", dirs_exist_ok=True
    )
    page = book.page
    page.evaluate(
        "() => { window.jupyterapp.commands.execute('docmanager:open', {path: "
        "'notebooks/TEACHING.md', factory: 'Markdown Preview'}) }"
    )
    preview = page.locator(".jp-MarkdownViewer")
    preview.get_by_text("For whoever stands in front").wait_for()
    preview.locator("img").first.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-MarkdownViewer img')].every(picture => "
        "picture.naturalWidth > 100)"
    )
    book.shot("teaching")
    preview.get_by_role("link", name="01: Figure 2", exact=True).click()
    in_view(page, "9 · Figure 2")
    book.shot("teaching-to-lesson")
    page.get_by_role("link", name="saliency map", exact=True).first.click()
    in_view(page, "saliency map")
    book.shot("lesson-to-glossary")
