"""The script that plants faults: what it plants, that a seed repeats it, and that it notices."""

import re

import pytest

from helpers.ground import ROOT
from tests.authoring import mutants
from tests.authoring.faults import faults

SOURCE = '''
def step(x: int = 1 - 2, y=None):
    """A text - with a sign."""
    if x < 0:
        raise ValueError("no - such" + "thing")
    z = x.mean(dim=1).detach() - F.relu(y)
    optimizer.step()
    print(x - y)
    return torch.where(z, y)[:3]
'''
PLANTED = {
    "x < 0 → (x > 0)",
    "x.mean(dim=1).detach() - F.relu(y) → (x.mean(dim=1).detach() + F.relu(y))",
    "x.mean(dim=1).detach() - F.relu(y) → (x.mean(dim=1).detach())",
    "x.mean(dim=1).detach() → x.mean(dim=1)",
    "x.mean(dim=1) → x.sum(dim=1)",
    "dim=1 → dim=0",
    "F.relu(y) → y",
    "optimizer.step() → pass",
    "torch.where(z, y) → torch.where(y, z)",
    ":3 → :3 + 1",
}


def test_every_kind_of_fault_is_planted_and_texts_defaults_and_errors_are_left_alone():
    found = faults("a/step.py", SOURCE)
    assert {fault["words"].removeprefix("step: ") for fault in found} == PLANTED
    for fault in found:
        compile(fault["source"], "step.py", "exec")
        changed = zip(fault["source"].splitlines(), SOURCE.splitlines(), strict=True)
        assert [i for i, (a, b) in enumerate(changed, 1) if a != b] == [fault["line"]]


def test_the_seed_draws_as_many_of_each_package_and_other_lines_change_nothing(tmp_path):
    drawn = mutants.planted(ROOT, list(mutants.PACKAGES), 70, 1)
    assert [f["module"].split("/")[1] for f in drawn[:5]] == list(mutants.PACKAGES)[:5]
    assert drawn == mutants.planted(ROOT, list(mutants.PACKAGES), 70, 1)
    assert drawn != mutants.planted(ROOT, list(mutants.PACKAGES), 70, 2)
    copy = tmp_path / "helpers" / "ground" / "stats.py"
    copy.parent.mkdir(parents=True)
    copy.write_text("A = 1\n\n" + (ROOT / "helpers/ground/stats.py").read_text("utf-8"), "utf-8")
    words = [
        [fault["words"] for fault in mutants.planted(tree, ["stats"], 10, 1)]
        for tree in (ROOT, tmp_path)
    ]
    assert words[0] == words[1]


def test_every_module_has_a_mirror():
    for package in mutants.PACKAGES.values():
        for path in ROOT.glob(package):
            if path.stem not in ("base", "make", "__init__"):
                for file in mutants.mirror(path.relative_to(ROOT).as_posix()):
                    assert (ROOT / file).exists(), (path, file)


def test_a_fault_is_noticed_by_a_test_that_fails_and_by_one_that_never_ends(tmp_path):
    (tmp_path / "test_a.py").write_text("def test_a():\n    assert 1 + 1 == 2\n")
    assert mutants.run_tests(tmp_path, ("test_a.py",), 300)[0] == ""
    (tmp_path / "test_a.py").write_text("def test_a():\n    assert 1 - 1 == 2\n")
    assert mutants.run_tests(tmp_path, ("test_a.py",), 300)[0] == "pytest ended with 1"
    (tmp_path / "test_a.py").write_text("while True:\n    pass\n")
    assert mutants.run_tests(tmp_path, ("test_a.py",), 3)[0] == "too long"


@pytest.mark.long
def test_the_files_that_mirror_the_modules_notice_the_faults_planted_in_them(capsys):
    assert mutants.main(["--seed", "23", "--count", "105", "--jobs", "2"]) == 0
    assert re.search(r"^10\d faults, ", capsys.readouterr().out, re.M)
