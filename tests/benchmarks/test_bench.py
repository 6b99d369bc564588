"""The benchmark harness: honest about outputs, fair about turns, and able to tell fast from slow."""

import json
import math
import time

import pytest
import torch

from helpers.course import bench
from helpers.course.bench import Contest, race
from helpers.course.errors import CourseError


def burn(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def contest(ours=lambda: torch.ones(3), peer=lambda: torch.ones(3), tolerance=1e-6, **options):
    return Contest("task", ours, peer, "peer 1.0", tolerance, **options)


def test_the_ratio_tells_the_slower_one():
    slow = race(contest(lambda: burn(0.008) or 1.0, lambda: burn(0.002) or 1.0), seconds=0.1)
    assert slow.ratio < 0.7
    assert slow.ours_ms >= 8
    assert slow.rounds >= 5
    assert race(contest(lambda: burn(0.002) or 1.0, lambda: burn(0.008) or 1.0), seconds=0.1).ratio > 1.5


def test_both_take_turns_and_each_goes_first_every_other_round():
    calls = []
    race(contest(lambda: calls.append("o") or 1.0, lambda: calls.append("p") or 1.0), seconds=0, least=4)
    assert "".join(calls) == "op" + "op" + "po" + "op" + "po" + "op"     # the comparison, four rounds, and memory


def test_a_wrong_answer_has_no_speed():
    with pytest.raises(CourseError, match=r"differ by 0\.5 of the largest value, and 1e-06 is allowed"):
        race(contest(lambda: torch.tensor([2.0, 1.0]), lambda: torch.tensor([2.0, 2.0])), seconds=0)
    with pytest.raises(CourseError, match="ours has 2 numbers, peer 1.0's has 3"):
        race(contest(lambda: torch.ones(2)), seconds=0)
    with pytest.raises(CourseError, match="differ by nan"):
        race(contest(lambda: torch.full((3,), math.nan)), seconds=0)


def test_leaving_out_the_comparison_needs_a_reason():
    with pytest.raises(CourseError, match="say in `apart` why"):
        race(contest(tolerance=math.inf), seconds=0)
    result = race(contest(tolerance=math.inf, apart="both sample"), seconds=0)
    assert "not compared: both sample" in bench.table([result])


def test_lists_of_tensors_and_numbers_are_compared():
    result = race(contest(lambda: [torch.zeros(2, 2), 1.0], lambda: (torch.zeros(4), torch.tensor(1.0))), seconds=0)
    assert result.difference == 0


def test_table_and_json(tmp_path, capsys):
    file = tmp_path / "bench.json"
    assert bench.run(lambda: [contest(items=10, unit="image")], ["--json", str(file), "--seconds", "0"]) == 0
    assert "| task |" in capsys.readouterr().out
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert stored["results"][0]["unit"] == "image"
    assert stored["results"][0]["ours_per_second"] > 0
    assert stored["machine"]["torch"] == torch.__version__


def test_the_command_finds_the_files(tmp_path, monkeypatch, capsys):
    (tmp_path / "bench_sums.py").write_text(
        "from helpers.course.bench import Contest\n"
        "def contests():\n    return [Contest('sums', lambda: sum(range(9)), lambda: 36, 'thought', 0.0)]\n")
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    assert bench.main(["sums", "--seconds", "0"]) == 0
    assert bench.main(["--seconds", "0"]) == 0
    assert capsys.readouterr().out.count("| sums |") == 2
    with pytest.raises(CourseError, match="did you mean 'sums'"):
        bench.main(["sum"])


def test_memory_is_what_one_call_takes():
    assert 150 < bench.peak_mb(lambda: torch.ones(50_000_000).sum()) < 400
    assert bench.peak_mb(lambda: 1.0) < 50


def test_a_file_with_peers_of_its_own_runs_in_their_environment(tmp_path, monkeypatch, capsys):
    """The environment is stood for by this Python: what is tested is that the results come back."""
    file = tmp_path / "bench_apart.py"
    file.write_text(f"import sys\nsys.path.insert(0, {str(bench.ROOT)!r})\nfrom helpers.course import bench\nPEERS = ['peer']\n"
                    "def contests():\n    return [bench.Contest('far', lambda: 1, lambda: 1, 'peer', 0.0)]\n"
                    "if __name__ == '__main__':\n    bench.in_own_environment = lambda path: True\n"
                    "    sys.exit(bench.run(contests, sys.argv[1:]))\n")
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    assert bench.main(["apart", "--seconds", "0"]) == 0
    assert "| far |" in capsys.readouterr().out
    file.write_text("PEERS = ['peer']\n")
    assert bench.main(["apart", "--seconds", "0"]) == 1
    assert "ended without results" in capsys.readouterr().err
