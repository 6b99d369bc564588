"""Stored tensors and checkpoints: the same back, never half-written, damage told in a sentence."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from helpers.ground import artifacts, runtime
from helpers.ground.artifacts import (
    ROOT,
    Checkpoint,
    load_artifact,
    save_artifact,
    verify_file,
    write_atomically,
)
from helpers.ground.errors import CourseError

TENSORS = {
    "weight": torch.arange(12.0).reshape(3, 4),
    "bytes": torch.arange(10, dtype=torch.int8),
    "scalar": torch.tensor(3),
    "half": torch.ones(2, 3, 5).half(),
    "none": torch.zeros(0, 4),
    "view": torch.arange(6).reshape(2, 3).T,
}


def test_what_was_stored_comes_back(tmp_path):
    folder = tmp_path / "thing"
    meta = {"seeds": [0, 1], "what": "τ"}
    assert save_artifact(folder, TENSORS, version=2, meta=meta) == folder
    loaded, meta = load_artifact(folder, version=2)
    assert meta == {"seeds": [0, 1], "what": "τ"}
    assert list(loaded) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_rounded_matrix_is_off_by_half_a_step_at_most(tmp_path, bits):
    matrix = torch.randn(50, 96, generator=torch.Generator().manual_seed(0))
    matrix[3] *= 1000
    save_artifact(tmp_path, {"m": matrix, "v": matrix[0]}, version=1, meta={}, bits={"m": bits})
    tensors, _ = load_artifact(tmp_path)
    groups = matrix.unflatten(1, (-1, 32 if bits == 4 else 96))
    step = groups.abs().amax(-1, keepdim=True) / (127 if bits == 8 else 7)
    off = (tensors["m"] - matrix).unflatten(1, groups.shape[1:]).abs()
    assert (off <= 0.503 * step).all()
    assert (off > 0.4 * step).float().mean() > 0.1  # no finer than promised
    assert tensors["v"].equal(matrix[0])
    assert sorted(tensors) == ["m", "v"]


def test_large_tensors_are_cut_into_shards_below_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "SHARD_BYTES", 4000)
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"t{i}": torch.randn(n, 30, generator=generator) for i, n in enumerate((100, 1, 33, 70))
    }
    folder = save_artifact(tmp_path / "thing", tensors, version=1, meta={})
    sizes = [file.stat().st_size for file in folder.glob("*.safetensors")]
    assert len(sizes) > 5
    assert max(sizes) < 5000
    loaded, _ = load_artifact(tmp_path / "thing")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_saving_again_gives_the_same_bytes_and_leaves_nothing_behind(tmp_path):
    def content():
        return {file.name: file.read_bytes() for file in (tmp_path / "thing").iterdir()}

    save_artifact(tmp_path / "thing", TENSORS, version=1, meta={})
    first = content()
    save_artifact(tmp_path / "thing", TENSORS, version=1, meta={})
    assert content() == first
    write_atomically(tmp_path / "thing" / "README.md", b"# Thing")
    save_artifact(tmp_path / "thing", {"other": torch.ones(3)}, version=2, meta={})
    assert len(list((tmp_path / "thing").iterdir())) == 3  # one shard, the manifest, the card


@pytest.mark.parametrize(
    "damage",
    ["no folder", "no manifest", "half a manifest", "no shard", "half a shard", "one byte"],
)
def test_damage_is_told_with_the_command_that_mends_it(tmp_path, damage):
    folder = save_artifact(tmp_path / "thing", TENSORS, version=1, meta={})
    manifest, shard = folder / "manifest.json", next(folder.glob("*.safetensors"))
    name = "thing"
    if damage == "no folder":
        name = "nothing"
    elif damage.startswith("no "):
        (manifest if "manifest" in damage else shard).unlink()
    elif damage.startswith("half "):
        file = manifest if "manifest" in damage else shard
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
    with pytest.raises(CourseError, match=f"python -m helpers make {name}`") as caught:
        load_artifact(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_another_version_is_refused(tmp_path):
    save_artifact(tmp_path / "thing", TENSORS, version=1, meta={})
    with pytest.raises(CourseError, match="has version 1, but 2 is expected"):
        load_artifact(tmp_path / "thing", version=2)


def test_at_scale_full_the_full_one_is_taken_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    monkeypatch.setattr(runtime, "_course", None)
    for name in ("thing", "thing-full", "other"):
        save_artifact(name, {}, version=1, meta={"name": name})
    assert load_artifact("thing")[1]["name"] == "thing"
    monkeypatch.setenv("COURSE_SCALE", "full")
    runtime.setup(quiet=True)
    assert load_artifact("thing")[1]["name"] == "thing-full"
    assert load_artifact("other")[1]["name"] == "other"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_process_killed_while_saving_leaves_the_old_artifact(tmp_path):
    save_artifact(tmp_path / "thing", TENSORS, version=1, meta={})
    code = textwrap.dedent(f"""
        import os, torch
        from pathlib import Path
        from helpers.ground import artifacts
        write = artifacts.write_atomically
        def die_at_the_manifest(path, content):
            os._exit(9) if path.name == "manifest.json" else write(path, content)
        artifacts.write_atomically = die_at_the_manifest
        new = {{"new": torch.ones(5)}}
        artifacts.save_artifact(Path({str(tmp_path)!r}, "thing"), new, version=2, meta={{}})
        """)
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 9
    loaded, _ = load_artifact(tmp_path / "thing", version=1)
    assert torch.equal(loaded["weight"], TENSORS["weight"])


def test_verify_file(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"1,2\n")
    digest = "1d3e1e6d7b5b6d4c0d5f"
    with pytest.raises(CourseError, match=f"table.csv is damaged .* expected {digest[:8]}"):
        verify_file(tmp_path / "table.csv", digest)
    with pytest.raises(CourseError, match="list.csv is missing"):
        verify_file(tmp_path / "list.csv", digest)


def test_a_checkpoint_brings_a_training_back_bit_for_bit(tmp_path):
    def train(steps, checkpoint, stop_at=None):
        torch.manual_seed(0)
        model, generator = torch.nn.Linear(3, 1), torch.Generator().manual_seed(1)
        optimizer = torch.optim.Adam(model.parameters())
        done = 0
        if state := checkpoint.load():
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            generator.set_state(state["generator"])
            done = state["step"]
        for step in range(done, steps):
            optimizer.zero_grad()
            model(torch.randn(8, 3, generator=generator)).square().mean().backward()
            optimizer.step()
            parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            checkpoint.save(parts | {"generator": generator.get_state(), "step": step + 1})
            if step + 1 == stop_at:
                return None
        return model.weight.detach()

    train(6, Checkpoint("halting", root=tmp_path), stop_at=3)
    resumed = train(6, Checkpoint("halting", root=tmp_path))
    assert torch.equal(resumed, train(6, Checkpoint("straight", root=tmp_path)))


def test_checkpoints_are_forgotten_and_damage_is_told(tmp_path):
    checkpoint = Checkpoint("run", root=tmp_path)
    assert checkpoint.load() is None
    checkpoint.save({"step": 1})
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:100])
    with pytest.raises(CourseError, match="Delete .checkpoints/run.pt"):
        checkpoint.load()
    checkpoint.clear()
    checkpoint.clear()
    assert checkpoint.load() is None
