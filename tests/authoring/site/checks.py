"""What may be wrong with pages: each function returns sentences, none where all is well."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

HEAVIEST = 2_500_000  # bytes of a page with all it loads but MathJax
LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}
SHOWN = ["math", "cell_output"]  # a dollar in these is none of Markdown's
STARTS = ("https://", "http://", "//")


@cache
def _read(path: Path, changed: float) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def read(path: Path) -> BeautifulSoup:
    return _read(path, path.stat().st_mtime_ns)


def of_site(out: Path) -> list[str]:
    """Everything wrong with the pages and styles of a folder."""
    found = [fault for page in sorted(out.glob("*.html")) for fault in of_page(page, out)]
    asked = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)")
    for style in sorted(out.rglob("*.css")):
        found += [f"{style.name}: asks {one}" for one in asked.findall(style.read_text("utf-8"))]
    return found


def of_page(page: Path, out: Path) -> list[str]:
    """Links, pictures without words, foreign requests, weight, formulas as typed, headings."""
    soup, found = read(page), []
    for link in soup.find_all("a", href=True):
        if not urlsplit(link["href"]).scheme and (why := lost(link["href"], page)):
            found.append(f"{page.name}: the link {link['href']} {why}")
    for name, address in loads(soup):
        if address.startswith(STARTS):
            found.append(f"{page.name}: <{name}> asks {address}")
        elif not address.startswith("data:") and (why := lost(address, page)):
            found.append(f"{page.name}: <{name}> {address} {why}")
    for image in soup.find_all("img"):
        if not image.get("alt", "").strip():
            found.append(f"{page.name}: {image.get('src')} has no alternative text")
    if (size := weight(page, out)) > HEAVIEST:
        found.append(f"{page.name}: {size / 1e6:.1f} MB with all that it loads")
    article = soup.find("article") or soup
    for text in article.find_all(string=re.compile(r"\$")):
        if not text.find_parent(["pre", "code", "script"]) and not text.find_parent(class_=SHOWN):
            found.append(f"{page.name}: a formula is not set: {text.strip()[:60]}")
    levels = [int(heading.name[1]) for heading in article.find_all(re.compile("^h[1-6]$"))]
    jumps = [b for a, b in zip([0, *levels], levels, strict=False) if b > a + 1]
    if jumps or levels.count(1) != 1:
        found.append(f"{page.name}: headings out of order: {levels}")
    return found


def loads(soup: BeautifulSoup) -> list[tuple[str, str]]:
    """(element, address) of all that a page fetches by itself."""
    return [
        (name, element[attribute])
        for name, attribute in LOADED.items()
        for element in soup.find_all(name, attrs={attribute: True})
        if name != "link" or {"stylesheet", "preload", "icon"} & set(element.get("rel", []))
    ]


def lost(address: str, page: Path) -> str:
    """Why an address inside the site leads nowhere; "" where it lands."""
    path, fragment = unquote(urlsplit(address).path), unquote(urlsplit(address).fragment)
    target = (page.parent / path) if path else page
    if not target.is_file():
        return "leads to no file"
    if fragment and target.suffix == ".html" and not read(target).find(id=fragment):
        return "leads to no place of that page"
    return ""


def weight(page: Path, out: Path) -> int:
    """Bytes of a page and of all that it loads, without MathJax."""
    files = {page.parent / urlsplit(a).path for _, a in loads(read(page)) if "mathjax" not in a}
    return page.stat().st_size + sum(f.stat().st_size for f in files if f.is_file())


def contrast(css: str) -> list[str]:
    """Pairs --NAME-ink and --NAME-paper of a style, a theme each, that are hard to read, and
    colours that stand elsewhere."""
    found, rest = [], css
    for theme, block in re.findall(r"data-theme=\"(\w+)\"\] \{([^{}]*)\}", css):
        rest = rest.replace(block, "")
        for name, ink, paper in re.findall(r"--(\w+)-ink: (#\w{6}); --\1-paper: (#\w{6});", block):
            dark, light = sorted([luminance(ink), luminance(paper)])
            if (ratio := (light + 0.05) / (dark + 0.05)) < 4.5:
                found.append(f"site.css: {name}-ink on its paper: {ratio:.1f} to 1 ({theme})")
    return found + [f"site.css: {one} has no name" for one in re.findall(r"#[0-9a-f]{3,6}\b", rest)]


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
