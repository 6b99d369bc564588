"""What `make` stores in data/, each file with its SHA-256, and checkpoints: all written whole."""

import hashlib
import importlib.util
import io
import json
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from helpers.ground import ROOT
from helpers.ground.errors import CourseError, checked
from helpers.ground.runtime import decided_scale

SHARD_BYTES = 14 * 2**20 - 2**16  # no file in data/ is larger than 14 MiB, header included


def save_artifact(
    where: str | Path, tensors: dict[str, Tensor], *, version, meta: dict, bits=None
) -> Path:
    """Store tensors in data/NAME, or in a folder: safetensors shards and a manifest.

    bits: {name: 8 or 4} of matrices to be rounded. A shard's file name holds its hash and the
    manifest is replaced last, so a run killed anywhere leaves the old artifact or the new one.
    meta: anything JSON can hold. Returns the folder.
    """
    folder = ROOT / "data" / where
    folder.mkdir(parents=True, exist_ok=True)
    tensors, bits = dict(tensors), bits or {}
    for key, count in bits.items():
        tensors[key], tensors[f"{key}_step"] = rounded(tensors[key], count)
    shapes = {key: {"shape": list(tensor.shape), "files": []} for key, tensor in tensors.items()}
    for key, count in bits.items():
        shapes[key]["bits"] = count
    manifest = {"version": version, "meta": meta, "files": {}, "tensors": shapes}
    for shard in _shards(tensors):
        content = save({f"{key}#{part}": rows.contiguous().cpu() for key, part, rows in shard})
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][file := f"tensors-{digest[:12]}.safetensors"] = digest
        write_atomically(folder / file, content)
        for key, _, _ in shard:
            shapes[key]["files"].append(file)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / "manifest.json", text.encode())
    for old in folder.glob("tensors-*.safetensors"):
        if old.name not in manifest["files"]:
            old.unlink()
    return folder


@checked
def load_artifact(where: str | Path, *, version=None, device="cpu") -> tuple[dict, dict]:
    """The tensors, on `device`, and the meta that `save_artifact` stored, checked by SHA-256.

    where: NAME for data/NAME (at scale full data/NAME-full, where there is one), or a folder. What
    is missing, damaged or of another version raises a CourseError that names the command for it.
    """
    folder, full = ROOT / "data" / where, ROOT / "data" / f"{where}-full"
    if isinstance(where, str) and decided_scale() == "full" and (full / "manifest.json").exists():
        folder = full
    manifest = verified(folder)
    if version not in (None, manifest["version"]):
        raise make_again(folder, f"it has version {manifest['version']}, but {version} is expected")
    shards = {file: load((folder / file).read_bytes()) for file in manifest["files"]}
    tensors = {}
    for key, entry in manifest["tensors"].items():
        rows = [shards[file][f"{key}#{part}"] for part, file in enumerate(entry["files"])]
        tensors[key] = torch.cat(rows).reshape(entry["shape"]).to(device)
    for key, entry in manifest["tensors"].items():
        if "bits" in entry:
            tensors[key] = widened(tensors[key], tensors.pop(f"{key}_step"))
    return tensors, manifest["meta"]


def rounded(matrix: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """A matrix (R, C) in whole numbers, int8, and their steps.

    bits 8: (R, C), one float32 step a row (R, 1). bits 4: two numbers in a byte, the first in its
    lower half, (R, C/2), and a float16 step for each 32 of them, (R, C/32).
    """
    groups = matrix.detach().float().unflatten(1, (-1, 32 if bits == 4 else matrix.shape[1]))
    step = groups.abs().amax(dim=-1) / (2 ** (bits - 1) - 1)  # (R, groups)
    step = step.half().clamp(min=1e-7) if bits == 4 else step.clamp(min=1e-12)
    whole = (groups / step[..., None].float()).round().to(torch.int8).flatten(1)
    return (whole[:, ::2] & 15 | whole[:, 1::2] << 4) if bits == 4 else whole, step


def widened(whole: Tensor, step: Tensor) -> Tensor:
    """The matrix (R, C) in float32 that `rounded` has rounded."""
    if step.dtype == torch.float16:
        whole = torch.stack([whole << 4 >> 4, whole >> 4], dim=-1).flatten(1)
    return (whole.unflatten(1, (step.shape[1], -1)) * step[..., None].float()).flatten(1)


def part_of(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """Those whose names begin with `start`, by the rest of their names."""
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def verified(folder: Path) -> dict:
    """A stored folder's manifest; CourseError where it or a file it names is not as it was."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files = manifest["files"]
    except (OSError, ValueError, KeyError) as error:
        why = f"its manifest.json cannot be read ({type(error).__name__})"
        raise make_again(folder, why) from error
    for file, sha256 in files.items():
        verify_file(folder / file, sha256)
    return manifest


def verify_file(path: Path, sha256: str) -> None:
    """CourseError with the command to run where a file's content has another SHA-256."""
    found = sha256_of(path)
    if not found:
        raise make_again(path.parent, f"{path.name} is missing or cannot be read")
    if found != sha256:
        sums = f"its SHA-256 begins {found[:8]}, expected {sha256[:8]}"
        raise make_again(path.parent, f"{path.name} is damaged ({sums})")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file; "" where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def make_again(folder: Path, why: str) -> CourseError:
    command = f"python -m helpers make {folder.name.removesuffix('-full')}"
    restore = f"or restore it with `git checkout -- data/{folder.name}`"
    return CourseError(f"data/{folder.name} cannot be used: {why}. Run `{command}`, {restore}.")


def _shards(tensors: dict[str, Tensor]) -> list[list[tuple[str, int, Tensor]]]:
    """Pack (key, part, rows) into shards; a tensor larger than one is cut into blocks of rows."""
    shards, space = [[]], SHARD_BYTES
    for key, tensor in tensors.items():
        table = tensor.detach() if tensor.ndim else tensor.detach().reshape(1)
        rows = max(1, SHARD_BYTES // max(1, table[:1].nbytes))
        for part, piece in enumerate(table.split(rows)):
            if piece.nbytes > space and shards[-1]:
                shards.append([])
                space = SHARD_BYTES
            shards[-1].append((key, part, piece))
            space -= piece.nbytes
    return shards


def package_folder(package: str, remedy: str) -> Path:
    """Where an installed package lies (it is not imported); CourseError with the remedy if not."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise CourseError(f"The package {package} is missing: {remedy}.")
    return Path(next(iter(spec.submodule_search_locations)))


def package_file(package: str, name: str, sha256: str, remedy: str) -> Path:
    """A file of an installed package; CourseError with the remedy where it is not this very one."""
    path = package_folder(package, remedy) / name
    if sha256_of(path) != sha256:
        raise CourseError(f"The package {package} is damaged or of another version: {remedy}.")
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write under another name, flush to the disk, then rename: no half file is ever at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def still_numbers(weights: Iterable[Tensor], when: str) -> None:
    """CourseError where a training has broken down: some number is NaN or infinite."""
    if not torch.stack([weight.isfinite().all() for weight in weights]).all():  # one wait
        cure = "Its checkpoint, if any, is still good: begin again with a smaller learning rate"
        what = f"This model has broken down: after {when} some of its numbers are NaN or infinite"
        raise CourseError(f"{what}. {cure}.")


class Checkpoint:
    """Where a long training left off, in ROOT/.checkpoints; a kill leaves the last one whole."""

    until = math.inf  # on time.monotonic(): the first save after it ends the run

    def __init__(self, name: str, root: Path | None = None):
        self.path = (root or ROOT / ".checkpoints") / f"{name}.pt"

    def load(self) -> dict | None:
        """The last saved state on the CPU, or None. CourseError for a file that cannot be read."""
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # a cut-off zip, a foreign pickle: torch has many names for it
            name, kind = self.path.name, type(error).__name__
            what = f"The checkpoint {name} cannot be read ({kind})"
            raise CourseError(f"{what}. Delete .checkpoints/{name} to begin anew.") from error

    def save(self, state: dict) -> None:
        """Store tensors, numbers, strings and containers of these, such as state dicts."""
        torch.save(state, buffer := io.BytesIO())
        write_atomically(self.path, buffer.getvalue())
        if time.monotonic() > self.until:
            raise KeyboardInterrupt

    def clear(self) -> None:
        """Forget it: the training is done."""
        self.path.unlink(missing_ok=True)
