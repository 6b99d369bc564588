"""The long trainings: what `store` keeps of a state, and all jobs in small, killed and moved."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from data.recipes import jobs, make
from data.recipes.states import packed, unpacked
from helpers.ground import ROOT
from helpers.ground.artifacts import load_artifact, save_artifact


def test_a_state_comes_back_from_json_and_rounded_tensors(tmp_path):
    layer = torch.nn.Linear(30, 20)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    for _ in range(30):
        layer(torch.randn(8, 30)).pow(2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    fired = torch.arange(9) > 4
    state = {"model": layer.state_dict(), "optimizer": optimizer.state_dict(), "step": 30}
    state |= {"losses": [torch.tensor(1.5), torch.tensor([1.0, 2.0])], "fired": fired}
    skeleton = packed(state, tensors := {})
    save_artifact(tmp_path / "x", tensors, version=1, meta={"state": skeleton})
    tensors, meta = load_artifact(tmp_path / "x")
    again = unpacked(meta["state"], tensors)
    assert again["step"] == 30
    assert torch.equal(again["fired"], fired)
    assert [value.tolist() for value in again["losses"]] == [1.5, [1.0, 2.0]]
    assert torch.equal(again["model"]["bias"], layer.bias)
    torch.testing.assert_close(again["model"]["weight"], layer.weight.data, rtol=1e-3, atol=1e-6)
    optimizer.load_state_dict(again["optimizer"])
    moments, wanted = optimizer.state[layer.weight], state["optimizer"]["state"][0]
    assert moments["step"] == 30
    assert not moments["exp_avg"].any()
    torch.testing.assert_close(moments["exp_avg_sq"], wanted["exp_avg_sq"], rtol=0.13, atol=0)


def test_jobs_are_recipes_and_wait_for_jobs_before_them():
    names = list(jobs.JOBS)
    for place, (name, (needs, rate)) in enumerate(jobs.JOBS.items()):
        assert make.find(name)
        assert rate > 0
        assert set(needs) <= set(names[:place])
        assert all(training.steps > 1000 for training in jobs.parts(name).values())


@pytest.mark.long
def test_all_jobs_in_small_stopped_stored_and_finished_elsewhere(tmp_path):
    """Three steps of each here, the rest in a clone of what was committed."""

    def jobs_in(folder, *words):
        command = [sys.executable, "-m", "data.recipes.jobs", *words, "--smoke"]
        subprocess.run(command, cwd=folder, check=True, timeout=1800)

    def clone(source, folder):
        subprocess.run(["git", "clone", "-q", str(source), str(folder)], check=True)
        for part in ("user.name", "user.email"):
            subprocess.run(["git", "config", part, "test"], cwd=folder, check=True)
        if (ROOT / ".cache").exists():
            shutil.copytree(ROOT / ".cache", folder / ".cache")
        return folder

    def steps(folder):
        found = (folder / "data" / "next").glob("*/manifest.json")
        return {f.parent.name: json.loads(f.read_text())["meta"]["step"] for f in found}

    here = clone(ROOT, tmp_path / "here")
    for _ in range(3):
        jobs_in(here, "run", "--minutes", "0")
    jobs_in(here, "store")
    assert 0 < sum(steps(here).values()) <= 6
    there = clone(here, tmp_path / "there")
    jobs_in(there, "restore")
    assert not steps(here).keys() - {f.stem for f in (there / "data/.checkpoints").glob("*.pt")}
    jobs_in(there, "run")
    jobs_in(there, "store")
    assert not steps(there)
    for name in jobs.JOBS:
        manifest = json.loads((there / "data" / name / "manifest.json").read_text())
        assert manifest["version"] == 2
