"""The benchmark harness.

Honest about outputs, fair about turns, and able to tell fast from slow.
"""

import json
import math
import shutil
import time
from itertools import groupby
from types import SimpleNamespace

import pytest
import torch

from helpers.ground.errors import CourseError
from tests.benchmarks import bench, peers
from tests.benchmarks.bench import Contest, race
from tests.pretend_gpu import T4, pretend_gpu


def burn(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def contest(ours=lambda: torch.ones(3), peer=lambda: torch.ones(3), tolerance=1e-6, **options):
    return Contest("task", ours, peer, "peer 1.0", tolerance, **options)


def test_the_ratio_tells_the_slower_one():
    slow = race(contest(lambda: burn(0.04) or 1.0, lambda: burn(0.002) or 1.0), seconds=0.1)
    assert slow.ratio < 0.7
    assert slow.ours_ms >= 40
    assert slow.rounds >= 5
    assert (
        race(contest(lambda: burn(0.002) or 1.0, lambda: burn(0.04) or 1.0), seconds=0.1).ratio
        > 1.5
    )


def test_both_take_turns_and_each_goes_first_every_other_round():
    calls = []
    race(
        contest(lambda: calls.append("o") or 1.0, lambda: calls.append("p") or 1.0),
        seconds=0,
        least=4,
    )
    turns = "".join(name for name, _ in groupby(calls))
    # comparison op, a first look op, four rounds op, po, op, po, memory op; the same twice is one
    assert turns == "opopopopop"


def test_a_wrong_answer_has_no_speed():
    with pytest.raises(
        CourseError, match=r"differ by 0\.5 of the largest value, and 1e-06 is allowed"
    ):
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
    result = race(
        contest(lambda: [torch.zeros(2, 2), 1.0], lambda: (torch.zeros(4), torch.tensor(1.0))),
        seconds=0,
    )
    assert result.difference == 0


def test_table_and_json(tmp_path, capsys):
    file = tmp_path / "bench.json"
    assert (
        bench.run(
            lambda: [contest(items=10, unit="image")], ["--json", str(file), "--seconds", "0"]
        )
        == 0
    )
    assert "| task |" in capsys.readouterr().out
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert stored["results"][0]["unit"] == "image"
    assert stored["results"][0]["ours_per_second"] > 0
    assert stored["machine"]["torch"] == torch.__version__


FILE = f"""'''Adds up.'''
import sys
sys.path.insert(0, {str(bench.ROOT)!r})
from tests.benchmarks import bench
def contests():
    return [bench.Contest("sums", lambda: sum(range(9)), lambda: 36, "thought", 0.0)]
if __name__ == "__main__":
    sys.exit(bench.run(contests, sys.argv[1:]))
"""


def test_the_command_finds_the_files_and_renews_their_sections(tmp_path, monkeypatch, capsys):
    (tmp_path / "bench_sums.py").write_text(FILE)
    (tmp_path / "bench_wrong.py").write_text(FILE.replace("lambda: 36", "lambda: 37"))
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    results, numbers = tmp_path / "RESULTS.md", tmp_path / "numbers.json"
    results.write_text("# Benchmarks\n\nAn introduction.\n\n## sums\nold\n\n## zebras\nkept\n")
    assert (
        bench.main(["sums", "--seconds", "0", "--results", str(results), "--json", str(numbers)])
        == 0
    )
    assert "| sums |" in capsys.readouterr().out
    text = results.read_text()
    assert text.startswith("# Benchmarks\n\nAn introduction.\n\n## sums\nAdds up.")
    assert "| sums |" in text
    assert text.endswith("## zebras\nkept\n")
    assert "old" not in text
    assert "not measured" in text
    assert json.loads(numbers.read_text())["sums"]["results"][0]["difference"] == 0
    assert bench.main(["wrong", "--seconds", "0"]) == 1
    with pytest.raises(CourseError, match="did you mean 'sums'"):
        bench.main(["sum"])


def test_help_says_what_each_file_compares_and_installs(tmp_path, monkeypatch, capsys):
    (tmp_path / "bench_sums.py").write_text(FILE.replace("def con", "PEERS = ('a==1',)\ndef con"))
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    assert "sums: Adds up. Installs a==1 in .cache/bench_sums." in capsys.readouterr().out


def test_numbers_keep_three_digits():
    for number, text in ((0.01234, "0.0123"), (99.96, "100"), (785.4, "785"), (5814, "5,810")):
        assert bench.three(number) == text


def test_memory_is_what_one_call_takes():
    """Two tensors of 40 MB at once, also at the second call; what was there before does not count,
    nor what a later tensor takes after the first two are gone."""
    held = torch.ones(10_000_000)

    def call():
        (held * 2 + 0 * held).sum()
        return torch.ones(5_000_000)

    for _ in range(2):
        assert bench.peak_mb(call) == pytest.approx(120, rel=0.01)  # both products and their sum
    assert bench.peak_mb(lambda: 1.0) == 0


def test_memory_on_the_cpu_is_seen_where_there_is_a_gpu():
    with pretend_gpu(T4):
        assert bench.peak_mb(lambda: torch.ones(10**6)) == pytest.approx(4, rel=0.01)
        on_gpu = lambda: torch.ones(10**6, device="cuda")
        assert bench.peak_mb(on_gpu) == pytest.approx(4, rel=0.01)


def test_a_file_with_peers_of_its_own_runs_in_their_environment(tmp_path, monkeypatch, capfd):
    """Without a network it says so; where the environment is there, the file runs in it."""
    (tmp_path / "bench_apart.py").write_text(
        FILE.replace("def contests", "PEERS = ['no-such-peer==9.9.9']\ndef contests")
    )
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert bench.main(["apart", "--seconds", "0"]) == 1
    assert "no-such-peer==9.9.9 could not be installed" in capfd.readouterr().err
    shutil.rmtree(bench.ROOT / ".cache" / "bench_apart")
    (tmp_path / "bench_apart.py").write_text(
        FILE.replace(
            "def contests",
            "PEERS = ['peer']\nbench.peers.in_own_environment = lambda path: True\ndef contests",
        )
    )
    assert bench.main(["apart", "--seconds", "0"]) == 0
    assert "| sums |" in capfd.readouterr().out


def test_an_environment_is_made_again_when_its_peers_change(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    made = []
    monkeypatch.setattr(
        peers.venv, "create", lambda home, **_: made.append(home.mkdir(parents=True, exist_ok=True))
    )
    monkeypatch.setattr(peers.subprocess, "check_output", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr(peers.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    for wanted, times in (["a==1"], 1), (["a==1"], 1), (["a==1", "b==1"], 2):
        peers.own_environment(tmp_path / "bench_x.py", wanted)
        assert len(made) == times
