"""What a class's files say, page by page; and what checks say, kept only from who chose it."""

import pytest

from helpers.ground.errors import CourseError
from helpers.lesson import report
from helpers.lesson.answers import Store, pool
from helpers.lesson.boards import FEEDBACK, Board, feedback
from helpers.lesson.checks import compare, exercise, keep_checks


@exercise
def doubled(yours):
    return compare(yours, 4.0, {"you squared it twice": 16.0})


doubled.__wrapped__.__module__ = "notebooks.support.lesson77.checks"


def test_what_checks_say_is_kept_only_where_somebody_chose_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_CLASS", str(tmp_path))
    doubled(16.0)
    assert pool(tmp_path, "exercise").records == []
    assert "kept" not in capsys.readouterr().out
    keep_checks()
    assert "is kept in" in capsys.readouterr().out
    doubled(...)
    assert "kept for your class" not in capsys.readouterr().out
    doubled(16.0)
    assert "kept for your class" in capsys.readouterr().out  # said on the screen, each time
    doubled(4.0)
    keep_checks(False)
    doubled(5.0)
    kept = [(r.item, r.answer) for r in pool(tmp_path, "exercise").records]
    assert kept == [("77.doubled", "you squared it twice"), ("77.doubled", "✓")]
    assert pool(tmp_path, "exercise").skipped == []


def test_pages(tmp_path, monkeypatch):
    for number in range(3):
        home = tmp_path / f"home{number}"
        home.mkdir()
        (home / "person.txt").write_text(f"0000000{number}\n")
        monkeypatch.setenv("COURSE_CLASS", str(home))
        Store("prediction").add("07.kept", "", number, seconds=2.5)
        board = Board("07.fork", "Which?")
        board.answer(f"*way* {number} | a")
        board.answer("regretted")
        board.take_back()
        feedback("07").answer("pentagons", seat=FEEDBACK[1])
        Store("neurons").add("unit 1", "SoLU", {"one rule": 1} if number else None)
        if number:
            keep_checks()
            doubled(16.0)
            doubled(16.0)
            doubled(4.0)
    first = report.write(tmp_path)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in first.parent.glob("*.md")}
    activities = {"board", "prediction", "neurons"}
    assert set(pages) == {"README", *activities, "exercise-77-doubled", "07-feedback"}
    assert all(f"[{name}]({name}.md)" in pages["README"] for name in set(pages) - {"README"})
    assert "| 00000001 |  | (b) | 2.5 |" in pages["prediction"]
    assert "| 00000002 |  | \\*way\\* 2 \\| a |  |" in pages["board"]
    assert "regretted" not in pages["board"]
    assert pages["board"].count(f"| {FEEDBACK[1]} | pentagons |") == 3
    can, unclear, change = pages["07-feedback"].split("\n## ")[1:]
    assert unclear.strip() == "\n- ".join([f"{FEEDBACK[1]}\n", *["pentagons"] * 3])
    assert "no answer yet" in can
    assert "no answer yet" in change
    assert "| 00000000 | SoLU | passed over |" in pages["neurons"]
    exercise_page = pages["exercise-77-doubled"]
    assert "Of 2 people who chose to keep it." in exercise_page
    assert "| 2 | you squared it twice | 00000001, 00000002 |" in exercise_page
    assert exercise_page.index("squared") < exercise_page.index("✓")

    for name, page in {"neurons": "neurons", "exercise": "exercise-77-doubled"}.items():
        (tmp_path / "home0" / f"{name}-0000beef.jsonl").write_text("{broken\n")
        again = report.write(tmp_path).with_name(f"{page}.md").read_text(encoding="utf-8")
        assert f"Left out: home0/{name}-0000beef.jsonl: no answer in it can be read" in again


def test_a_folder_without_answers(tmp_path):
    with pytest.raises(CourseError, match="There is no answer in"):
        report.write(tmp_path)
