"""The lessons as web pages: what is built, what a reader finds, and that faults are caught."""

import base64
import io
import json
import re
import shutil
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image, ImageChops, ImageStat

from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from tests.authoring import stamp
from tests.authoring.lessons import LESSONS, NOTEBOOKS
from tests.authoring.site import build, checks, explorer, frames, pages

CSS = (build.HERE / "static/site.css").read_text(encoding="utf-8")
FILMED = {"01", "05", "06", "07", "09", "11"}  # lessons with frames of a tool
THERE = [lesson for lesson in LESSONS if lesson.path.exists()]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All lessons, with all other pages."""
    out = tmp_path_factory.mktemp("site")
    build.build(out)
    return out


@pytest.fixture
def copy(site):
    """A page to spoil, beside the others."""
    page = site / "spoilt.html"
    shutil.copy(site / "GLOSSARY.html", page)
    yield page
    page.unlink()


def prepared(lesson, tmp_path):
    (tmp_path / "shown").mkdir(exist_ok=True)
    names = {one.path.name for one in THERE} | {"GLOSSARY.md", "TEACHING.md"}
    site = pages.Site(names, tmp_path / "shown")
    return pages.lesson(json.loads(lesson.path.read_text(encoding="utf-8")), lesson.name, site)


# ---- what is built
def test_the_pages_have_no_fault(site):
    assert checks.of_site(site) == []
    assert checks.contrast(CSS) == []


def test_a_page_of_a_lesson(site):
    text = (site / "05_attention_is_not_not_explanation.html").read_text(encoding="utf-8")
    article = checks.read(site / "05_attention_is_not_not_explanation.html").find("article")
    assert "FileNotFoundError" not in text  # the set-up cell
    assert "no public address" not in text
    figures = [image for image in article.find_all("img") if "shown/" in image["src"]]
    assert len(figures) >= 8
    (table,) = article.select(".cell_output table")
    heads = [head.get_text().strip() for head in table.find_all("th")]
    assert heads == ["", "here: mean (lowest to highest)", "paper"]
    assert all(len(image["alt"]) > 30 and image["loading"] == "lazy" for image in figures)
    assert len(article.get_text()) > 10_000  # to be read without a script
    assert article.find("details")
    meanings = [a["data-meaning"] for a in article.find_all("a", href=re.compile("^GLOSSARY"))]
    assert len(meanings) >= 4
    assert all(len(meaning) > 25 for meaning in meanings)
    assert article.find(class_="tool").get_text().startswith("12 stored pictures of a tool")


def test_the_other_pages(site):
    rows = checks.read(site / "CLAIMS.html").select(".sortable tbody tr")
    assert len(rows) == len(
        re.findall(r"^\| D\d", (NOTEBOOKS / "CLAIMS.md").read_text("utf-8"), re.M)
    )
    assert {row.find_all("td")[1].get_text() for row in rows} <= set("✓✗≠–")
    slides = [cell.get_text() for cell in checks.read(site / "slides.html").select(".slide")]
    assert len(slides) == 52
    teaching = checks.read(site / "TEACHING.html").find("article")
    there = {link.get_text(): link["href"] for link in teaching.find_all("a", href=True)}
    assert there["A page of its own"] == "slides.html"
    front = checks.read(site / "index.html")
    assert [h.get_text()[:-1] for h in front.find("article").find_all("h2")][0] == "The lessons"
    order = [
        checks.read(site / "05_attention_is_not_not_explanation.html").select_one(
            f".{way}-next, .{way}-prev"
        )
        for way in ("right", "left")
    ]
    names = [f"{THERE[n].name}.html" for n in (6, 4)]
    assert [link["href"] for link in order] == names


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CourseError, match="holds no site"):
        build.build(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_build_that_breaks_off_leaves_the_last_site(monkeypatch, tmp_path):
    (tmp_path / ".buildinfo").touch()
    (tmp_path / "index.html").write_text("the last")
    monkeypatch.setattr(build, "finish", lambda *_: 1 / 0)
    with pytest.raises(Exception, match="division by zero"):
        build.build(tmp_path, ("05",))
    assert (tmp_path / "index.html").read_text() == "the last"


# ---- votes
@pytest.mark.parametrize("lesson", THERE, ids=lambda lesson: lesson.number)
def test_every_vote_is_read_and_its_code_does_not_tell(lesson, tmp_path):
    notebook = prepared(lesson, tmp_path)
    cells = json.loads(lesson.path.read_text(encoding="utf-8"))["cells"]
    asked = [stamp.text_of(cell) for cell in cells if cell["cell_type"] == "code"]
    asked = [text for text in asked if re.search(r"^(widgets\.)?choice_view\(", text, re.M)]
    shown = json.dumps(notebook, ensure_ascii=False)
    assert shown.count("data-right=") == len(asked)
    sources = [stamp.text_of(c) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert not [text for text in sources if re.search(r"\bright=\d", text)]
    assert '"image/png"' not in shown
    assert "run this cell to use it" not in shown
    predictions = len(asked) + shown.count(json.dumps(pages.PREDICT)[1:-1])
    waiting = [c for c in notebook["cells"] if "waits" in c["metadata"].get("tags", [])]
    assert not predictions or len(waiting) >= predictions


def test_a_vote_with_names_and_one_that_cannot_be_read():
    code = 'kinds = ["a", "b `x`"]\nchoice_view("k", "Which?", kinds, right=1, why=BELOW)'
    vote, rest = pages.vote_in(code, {"BELOW": "Look."}, "00")
    assert vote.startswith(
        '<div class="vote" data-right="1"><p><b>Which?</b></p><ol type="a"><li>a'
    )
    assert "<li>b <code>x</code></li>" in vote
    assert "(b). Look." in vote
    assert rest == ""
    more = "x = f()\n" + code.splitlines()[1]
    assert pages.vote_in(more, {"kinds": ["a", "b"], "BELOW": ""}, "00")[1] == "x = f()"
    assert pages.vote_in("x = f()", {}, "00") == ("", "x = f()")
    with pytest.raises(CourseError, match="`BELOW` of a vote is no constant"):
        pages.vote_in(code, {}, "00")


# ---- each fault, planted
PLANTED = {
    "leads to no file": '<a href="nowhere.html">x</a>',
    "leads to no place": '<a href="GLOSSARY.html#nothing">x</a>',
    "has no alternative text": '<img src="_static/05-c340429c-00.webp" alt=" ">',
    "<script> asks https://cdn": '<script src="https://cdn.example.org/a.js"></script>',
    "<img> asks //": '<img src="//example.org/a.png" alt="a">',
    "<link> asks http": '<link rel="stylesheet" href="http://example.org/a.css">',
    "headings out of order": "<h5>deep</h5>",
    "a formula is not set: $x$": "<p>$x$</p>",
    " MB with all": f"<p>{'x' * 2_500_000}</p>",
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_caught(site, copy, fault):
    text = copy.read_text(encoding="utf-8")
    copy.write_text(text.replace("</article>", PLANTED[fault] + "</article>"), encoding="utf-8")
    assert checks.of_page(site / "GLOSSARY.html", site) == []
    (found,) = checks.of_page(copy, site)
    assert found.startswith(copy.name)
    assert fault in found


def test_a_style_that_asks_another_host_or_is_hard_to_read_is_caught(tmp_path):
    (tmp_path / "site.css").write_text('@import "https://example.org/fonts.css";')
    assert checks.of_site(tmp_path) == ["site.css: asks https://example.org/fonts.css"]
    (found,) = checks.contrast(CSS.replace("--vote-ink: #10233a", "--vote-ink: #a0b3ca"))
    assert "vote-ink on its paper: 1." in found
    assert found.endswith("(light)")
    assert checks.contrast(CSS + "p {color: #777;}") == ["site.css: #777 has no name"]
    assert round((checks.luminance("#ffffff") + 0.05) / (checks.luminance("#000000") + 0.05)) == 21


def test_the_command_ends_with_the_faults(monkeypatch, tmp_path, site):
    def spoilt(out):
        shutil.copytree(site, out)
        (out / "slides.html").unlink()

    monkeypatch.setattr(build, "build", spoilt)
    with pytest.raises(CourseError, match="slides.html leads to no file"):
        build.main(["--out", str(tmp_path / "out")])


# ---- frames and the explorer
def test_frames_are_those_of_lessons_as_they_are_and_small():
    entries, cells = frames.stored(), {}
    for lesson in THERE:
        notebook = json.loads(lesson.path.read_text(encoding="utf-8"))
        cells |= {f"{lesson.number}-{cell['id']}": cell for cell in notebook["cells"]}
    assert entries.keys() <= cells.keys(), "`python -m helpers record NN --frames` draws them again"
    assert {key[:2] for key in entries} == FILMED
    named = {f["src"] for entry in entries.values() for f in entry["frames"] if "src" in f}
    files = {file.name: file.stat().st_size for file in frames.FRAMES.glob("*.webp")}
    assert named == files.keys()
    assert sum(files.values()) < 1_300_000
    assert any(key.startswith("09-") and len(e["frames"]) == 19 for key, e in entries.items())
    for entry in entries.values():
        assert 2 <= len(entry["values"]) == len(entry["frames"]) <= frames.MOST
    assert [key for key, entry in entries.items() if is_old(entry, cells[key])] == []


def is_old(entry, cell):
    """Whether the frame that a tool starts with is not what the lesson stored of it: other words,
    or another frame is closer to the stored picture."""
    frame = entry["frames"][entry["start"]]
    if "text" in frame:
        return frame["text"] not in ["".join(output.get("text", "")) for output in cell["outputs"]]
    (output,) = (out for out in cell["outputs"] if "image/png" in out.get("data", {}))
    content = base64.b64decode("".join(output["data"]["image/png"]))
    stored = Image.open(io.BytesIO(content)).convert("RGB")

    def far(other):
        picture = Image.open(frames.FRAMES / other["src"]).convert("RGB").resize(stored.size)
        return sum(ImageStat.Stat(ImageChops.difference(stored, picture)).mean)

    nearest = min(entry["frames"], key=far)
    return nearest != frame or frame["alt"] != output["metadata"]["image/png"]["alt"]


def test_old_frames_are_noticed():
    key, entry = next(item for item in frames.stored().items() if item[0].startswith("09-"))
    notebook = json.loads(THERE[9].path.read_text(encoding="utf-8"))
    (cell,) = (cell for cell in notebook["cells"] if f"09-{cell['id']}" == key)
    assert not is_old(entry, cell)
    assert is_old({**entry, "start": 0}, cell)
    other = [{**frame, "alt": "Another caption."} for frame in entry["frames"]]
    assert is_old({**entry, "frames": other}, cell)


def test_a_playground_leaves_a_frame_a_state(monkeypatch, tmp_path):
    from helpers.lesson.widgets import playground

    monkeypatch.setattr(frames, "FRAMES", tmp_path)
    view = playground(lambda n=2, word="x": print(word * n), n=(1, 4), word="ab")
    frames.draw(view, "99-a")
    entry = frames.stored()["99-a"]
    assert (entry["control"], entry["values"], entry["start"]) == ("n", [1, 2, 3, 4], 1)
    assert entry["frames"][3] == {"text": "abababab\n"}
    frames.draw(playground(lambda n: print(n), n=(0, 99)), "99-b")  # too many
    frames.draw(playground(lambda n: None, n=(0, 9)), "99-c")  # nothing to store
    frames.draw(None, "99-d")  # the cell ended with something else
    assert frames.stored().keys() == {"99-a"}


def test_the_explorers_data_are_the_lessons(site):
    text = (site / "11_feature_splitting.html").read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)
    assert len(data.encode()) < 700_000
    found = json.loads(data)
    assert found == explorer.features()
    rows = found["rows"]
    (root,) = (row for row in rows if row[:2] == [0, 164])
    assert root[4] == "ways [to]"  # what the stored lesson says of it
    assert found["kinds"][root[5]] == "mathematics"
    assert root[6] == pytest.approx(410, abs=5)  # 4.1 % of the tokens
    parents = {row[7] for row in rows if row[0] == 1}
    assert rows.index(root) in parents
    for axis in (2, 3):  # the map is filled
        places = [row[axis] for row in rows]
        assert (min(places), max(places)) == (0, 999)


# ---- the public address, and the two workflows
def test_with_an_address_the_lessons_lead_to_colab_and_to_the_page(monkeypatch):
    monkeypatch.setattr(stamp, "home", lambda: "ada/lectures")
    line = stamp.colab_line("09_x")
    colab = f"{stamp.COLAB.format('ada/lectures', '09_x')})"
    badges = re.findall(r"\[!\[([^\]]+)\]\(([^)]+)\)\]\(([^)]+\))", line)
    assert [(words, address) for words, _, address in badges] == [
        ("Open in Colab", colab),
        ("Read as a web page", "https://ada.github.io/lectures/09_x.html)"),
    ]
    notebook = json.loads(THERE[9].path.read_text(encoding="utf-8"))
    title = stamp.text_of(stamp.stamp(stamp.stamp(notebook, "09_x"), "09_x")["cells"][0])
    assert line in title.splitlines()  # the badges' pictures keep lying beside the lesson
    for _, picture, _ in badges:
        badge = (NOTEBOOKS / picture).read_text(encoding="utf-8")
        assert ElementTree.fromstring(badge).tag.endswith("svg")
        assert re.findall('https?://[^"]+', badge) == ["http://www.w3.org/2000/svg"]
    readme = stamp.stamped_readme((ROOT / "README.md").read_text(encoding="utf-8"))
    assert "They are at https://ada.github.io/lectures/" in readme
    assert all((ROOT / file).exists() for file in re.findall(r"\]\((notebooks/[^)]+svg)\)", readme))
    assert readme.count("colab.svg") == len(THERE)
    site = pages.Site({"a.md"}, ROOT)
    shown = pages.prose(f"# T\n\n{line}", "c", "09_x", site)
    assert shown.endswith(f"# T\n\n[![Open in Colab](pictures/colab.svg)]({colab}")
    assert site.linked("[x](../LICENSE)").endswith("ada/lectures/blob/main/LICENSE)")


def test_the_workflows_are_what_the_readme_says():
    read = lambda name: yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))
    tests, site = read("tests.yml"), read("site.yml")
    matrix = tests["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python"] == ["3.11", "3.13"]
    assert site["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}
    for workflow in (tests, site):
        assert set(workflow) >= {"name", True, "permissions", "jobs"}  # YAML reads `on` as true
        for job in workflow["jobs"].values():
            assert set(job) >= {"runs-on", "steps"}
            assert all(("uses" in step) != ("run" in step) for step in job["steps"])
            used = [step["uses"] for step in job["steps"] if "uses" in step]
            assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action) for action in used)
    runs = [
        s["run"]
        for w in (tests, site)
        for j in w["jobs"].values()
        for s in j["steps"]
        if "run" in s
    ]
    assert runs == ["python -m helpers test --keep-going", "python -m helpers site"]
