"""The lessons as web pages in Chromium, every other host refused: on a phone and on a laptop, in
light and dark, with and without a script."""

import http.server
import itertools
import threading
from functools import partial

import pytest

from tests.authoring.site import build

VOTES, EXPLORER = "06_provably_useful_xai", "11_feature_splitting"
PAGES = ("index", EXPLORER, "CLAIMS", "GLOSSARY", "slides", VOTES)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Lessons 06 and 11 and the other pages, served on this machine."""
    out = tmp_path_factory.mktemp("site")
    build.build(out, ("06", "11"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(out)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def visit(chromium, address):
    """visit(page): its errors and foreign requests fail the test."""
    contexts, wrong = [], []

    def go(name: str, width: int = 1280, script: bool = True):
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
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


@pytest.mark.parametrize("name", PAGES)
def test_every_kind_of_page_fits_and_asks_nobody_else(visit, name):
    page = visit(name, 390)
    if name == VOTES:  # mathematics, from this very site
        page.wait_for_selector("mjx-container", timeout=60_000)
    for width, theme in itertools.product((390, 1280), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(
            "theme => document.documentElement.dataset.theme == theme", arg=theme
        )
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shown = page.locator(".bd-article img:visible")
        assert max(shown.evaluate_all("all => all.map(one => one.width)"), default=0) <= width


def test_a_vote_shows_its_result_a_range_its_frames_and_a_word_its_meaning(visit):
    page = visit(VOTES, 390)
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

    film = page.locator(".film").first
    picture, handle = film.locator("img"), film.locator("input")
    before = picture.get_attribute("src")
    handle.press("ArrowRight")
    assert film.locator("output").inner_text() == "0.65"
    assert picture.get_attribute("src") != before
    handle.press("End")
    assert film.locator("output").inner_text() == "2.95"
    page.wait_for_function("document.querySelector('.film img').naturalWidth > 100")
    box = handle.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert film.locator("output").inner_text() in ("1.45", "1.55")

    page.mouse.move(2, 2)  # the tap left it where another word may scroll to
    link = page.locator("a[data-meaning]").first
    link.focus()
    tip = page.get_by_role("tooltip")
    assert len(tip.inner_text()) > 25
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.keyboard.press("Escape")
    assert tip.count() == 0
    link.blur()
    link.focus()
    page.keyboard.press("Tab")  # is not held
    assert not link.evaluate("link => link == document.activeElement")
    page.locator(":focus").blur()
    assert tip.count() == 0
    link.hover()
    assert tip.count() == 1

    page.set_viewport_size({"width": 1280, "height": 800})
    assert not page.locator(".waiting").first.locator(".cell_output").is_visible()
    page.locator(".vote").nth(1).get_by_role("button", name="Show it without a guess").click()
    page.locator(".vote").nth(2).locator("li").nth(2).click()
    assert "and so it is" in page.locator(".vote").nth(2).get_by_role("status").inner_text()

    page = visit(VOTES, 390)  # where no mouse has been
    link, tip = page.locator("a[data-meaning]").first, page.get_by_role("tooltip")
    link.tap()  # shows the meaning; again: goes there
    assert tip.count() == 1
    assert VOTES in page.url
    link.tap()
    page.wait_for_url("**/GLOSSARY.html#*")
    page.go_back()
    link.press("Enter")
    page.wait_for_url("**/GLOSSARY.html#*")
    page.go_back()
    fold = page.locator(".bd-article details:visible").first
    fold.locator("summary").tap()
    assert fold.get_attribute("open") is not None
    page.locator(".right-next").first.tap()
    page.wait_for_url(f"**/{EXPLORER}.html")
    for menu, name in (("primary", "06 · "), ("secondary", "Takeaways")):
        page.locator(f".{menu}-toggle:visible").tap()
        page.locator("dialog[open]").get_by_role("link", name=name).tap()
        page.wait_for_url(f"**/{VOTES}.html*")
    page.wait_for_url("**#takeaways")
    page.locator("dialog[open]").wait_for(state="detached")


def test_without_a_script_everything_can_be_read(visit):
    page = visit(VOTES, script=False)
    assert page.locator(".tag_waits .cell_output").first.is_visible()
    assert page.locator(".vote li").first.is_visible()
    assert page.locator(".vote details").first.is_visible()
    assert page.locator(".film input:visible").count() == 0


def test_the_explorer_is_searched_hovered_and_walked(visit):
    page = visit(EXPLORER)
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
    head("small").click()  # below zero, too
    numbers = [float(text) for text in column(6) if text != "–"]
    assert numbers == sorted(numbers)
    runs = lambda: [sign for sign, _ in itertools.groupby(column(2))]
    assert len(runs()) > len(set(runs())) >= 2  # signs stand mixed
    head("sign").click()
    assert len(runs()) == len(set(runs()))
    assert page.locator("th[aria-sort=ascending]").all_inner_texts() == ["sign"]


def test_search_finds_a_lesson(visit):
    page = visit("search")
    page.goto(page.url + "?q=dictionary")
    page.wait_for_selector("#search-results a:has-text('11')", timeout=30_000)
