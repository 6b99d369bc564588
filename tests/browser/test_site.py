"""The lessons as web pages in Chromium, every other host refused: on a phone and on a laptop, in
light and dark, with and without a script."""

import http.server
import itertools
import threading
from functools import partial

import pytest

from tests.authoring.site import build

PAGES = ("index", "09_monosemanticity", "11_feature_splitting", "CLAIMS", "GLOSSARY", "slides")
VOTES = "06_provably_useful_xai"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Lessons 06, 09 and 11 and the other pages, served on this machine."""
    out = tmp_path_factory.mktemp("site")
    build.build(out, ("06", "09", "11"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(out)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def visit(chromium, address):
    """visit(page, width, theme): a page whose errors and foreign requests fail the test."""
    contexts, wrong = [], []

    def go(name: str, width: int = 1280, theme: str = "light", script: bool = True):
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            has_touch=width < 500,
            java_script_enabled=script,
        )
        contexts.append(context)

        def only_here(route):
            here = route.request.url.startswith((address, "data:"))
            wrong.extend([] if here else [f"asks {route.request.url}"])
            (route.continue_ if here else route.abort)()

        context.route("**/*", only_here)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.goto(f"{address}{name}.html")
        return page

    yield go
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_kind_of_page_fits_and_asks_nobody_else(visit, width, theme):
    for name in (*PAGES, VOTES):
        page = visit(name, width, theme)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        shown = page.locator(".bd-article img:visible")
        assert max(shown.evaluate_all("all => all.map(one => one.width)"), default=0) <= width
        page.close()
    page = visit(VOTES, width, theme)
    page.wait_for_selector("mjx-container", timeout=60_000)  # mathematics, from this very site


@pytest.mark.parametrize("width", [390, 1280])
def test_a_vote_shows_its_result_after_a_choice(visit, width):
    page = visit(VOTES, width)
    vote = page.locator(".vote").first
    result = page.locator(".tag_waits .cell_output").first
    assert not result.is_visible()
    assert not vote.get_by_text("It averages all slopes").is_visible()
    vote.get_by_role("button", name="negative").press("Enter")
    status = vote.get_by_role("status")
    assert status.inner_text().startswith("You chose (a); it is (b). It averages all slopes")
    assert result.is_visible()
    vote.get_by_text("zero").click(force=True)  # the first choice counts
    assert status.inner_text().startswith("You chose (a)")
    second = page.locator(".vote").nth(1)
    hidden = page.locator(".waiting").first
    assert not hidden.locator(".cell_output").is_visible()
    second.get_by_role("button", name="Show it without a guess").click()
    page.locator(".vote").nth(2).locator("li").nth(2).click()
    assert "and so it is" in page.locator(".vote").nth(2).get_by_role("status").inner_text()


def test_without_a_script_everything_can_be_read(visit):
    page = visit(VOTES, script=False)
    assert page.locator(".tag_waits .cell_output").first.is_visible()
    assert page.locator(".vote li").first.is_visible()
    assert page.locator(".vote details").first.is_visible()
    assert page.locator(".film input:visible").count() == 0


def test_a_range_moves_through_the_frames(visit):
    page = visit("09_monosemanticity", 390)
    film = page.locator(".film").first
    picture, handle = film.locator("img"), film.locator("input")
    before = picture.get_attribute("src")
    handle.press("ArrowRight")
    assert film.locator("output").inner_text() == "0.3"
    assert picture.get_attribute("src") != before
    handle.press("End")
    assert film.locator("output").inner_text() == "0.95"
    page.wait_for_function("document.querySelector('.film img').naturalWidth > 100")
    box = handle.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert film.locator("output").inner_text() == "0.5"


def test_the_explorer_is_searched_hovered_and_walked(visit):
    page = visit("11_feature_splitting")
    explorer = page.locator(".explorer")
    explorer.locator("input").fill("dna")
    explorer.get_by_role("button", name="· dna").first.click()
    assert "in 10,000 tokens" in explorer.inner_text()
    assert explorer.locator("mark").inner_text()
    explorer.locator("input").fill("A/0/164 ")
    explorer.get_by_role("button", name="A/0/164").first.click()
    child = explorer.locator("div ul button").first
    name = child.inner_text()
    child.click()
    assert explorer.locator("div p").first.inner_text() == name
    explorer.locator("canvas").hover(position={"x": 300, "y": 300})
    assert explorer.locator("output").inner_text().startswith("A/")


def test_a_word_of_the_glossary_is_told_by_mouse_and_by_focus(visit):
    page = visit("09_monosemanticity", 390)
    link = page.locator("a[data-meaning]").first
    link.focus()
    tip = page.get_by_role("tooltip")
    assert len(tip.inner_text()) > 25
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    link.blur()
    assert tip.count() == 0
    link.hover()
    assert tip.count() == 1


def test_the_claims_are_sorted(visit):
    page = visit("CLAIMS")
    column = lambda n: page.locator(f".sortable td:nth-child({n})").all_inner_texts()
    head = lambda name: page.locator("th").get_by_role("button", name=name)
    for name, n in (("slide", 1), ("lesson", 3)):
        as_written = column(n)
        head(name).click()
        assert column(n) == sorted(as_written)
        head(name).click()
        assert column(n) == sorted(as_written, reverse=True)
    runs = lambda: [sign for sign, _ in itertools.groupby(column(2))]
    assert len(runs()) > len(set(runs())) >= 2  # signs stand mixed
    head("sign").click()
    assert len(runs()) == len(set(runs()))
    assert page.locator("th[aria-sort=ascending]").all_inner_texts() == ["sign"]


def test_search_finds_a_lesson(visit):
    page = visit("search")
    page.goto(page.url + "?q=monosemantic")
    page.wait_for_selector("#search-results a:has-text('09')", timeout=30_000)
