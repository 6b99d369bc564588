"""`python -m helpers make NAME`: what lies in data/, and the command that makes each part of it again."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from helpers.ground.artifacts import ROOT, verify_file
from helpers.ground.errors import CourseError
from helpers.ground.runtime import current, keep_freed_memory, setup


@dataclass(frozen=True)
class Recipe:
    """One entry of data/."""

    name: str  # its folder: data/NAME
    what: str  # one line for `--list`
    make: str  # "module:function", called as make(scale=..., smoke=..., out=folder)
    measure: str  # "module:function", called as measure(out=folder) -> {what: number}
    minutes: float  # at scale small, on two quiet cores
    megabytes: float  # in data/
    lessons: tuple[str, ...] = ()  # who needs it


# make(*, scale, smoke=False, out=None): writes the folder `out` (data/NAME where None), which `save_artifact(out.name, ...,
# root=out.parent)` does; keeps a Checkpoint so that a killed run goes on; smoke: seconds, to show that it runs.
# measure(*, out=None): reads that folder and returns numbers.
RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "clip_emoji",
        "an image-text model in open_clip's format, trained on scenes of emoji",
        "data.recipes.clip_emoji:make",
        "data.recipes.clip_emoji:measure",
        30,
        3.2,
        ("02", "03"),
    ),
    Recipe(
        "clip_maps",
        "how well maps of clip_emoji point at what was asked, on held-out scenes",
        "helpers.clip.score:make",
        "helpers.clip.score:measure",
        8,
        0.1,
        ("02",),
    ),
    Recipe(
        "scene_classifier",
        "a small ReLU network with one score a concept of the scenes",
        "helpers.nets.scene_classifier:make",
        "helpers.nets.scene_classifier:measure",
        5,
        0.7,
        ("03",),
    ),
    Recipe(
        "attention_imdb",
        "attention models on IMDb's reviews, additive and scaled dot",
        "helpers.attention.data:make",
        "helpers.attention.data:measure",
        5,
        1.0,
        ("04", "05"),
    ),
    Recipe(
        "attention_tables",
        "seeds, uniform weights, adversaries and the MLP diagnostic on two data sets, as numbers",
        "helpers.attention.tables:make",
        "helpers.attention.tables:measure",
        4,
        1.9,
        ("05",),
    ),
    Recipe(
        "attention_imdb_tables",
        "the same on IMDb's reviews, as numbers",
        "helpers.attention.tables:make",
        "helpers.attention.tables:measure",
        16,
        1.1,
        ("04", "05"),
    ),
    Recipe(
        "diffusion",
        "a small diffusion model that draws digits of 16 pixels",
        "notebooks.support.lesson03.diffusion:make",
        "notebooks.support.lesson03.diffusion:measure",
        4,
        0.6,
        ("03",),
    ),
    Recipe(
        "roar",
        "remove and retrain: what digits networks still learn without each method's top pixels",
        "notebooks.support.lesson03.roar:make",
        "notebooks.support.lesson03.roar:measure",
        3,
        0.1,
        ("03",),
    ),
    Recipe(
        "tokenizer",
        "byte-level BPE with 2,048 tokens for the language models",
        "data.recipes.lm:tokenizer",
        "data.recipes.lm:measure_tokenizer",
        0.5,
        0.1,
        ("07", "08", "09", "10", "11"),
    ),
    Recipe(
        "lm_relu",
        "one-layer transformer with ReLU neurons: the model the dictionaries explain",
        "data.recipes.lm:language_model",
        "data.recipes.lm:measure_model",
        5,
        1.5,
        ("08", "09", "10", "11"),
    ),
    Recipe(
        "lm_relu_b",
        "the same with a second seed",
        "data.recipes.lm:language_model",
        "data.recipes.lm:measure_model",
        5,
        1.5,
        ("10",),
    ),
    Recipe(
        "lm_gelu",
        "the same with GELU neurons",
        "data.recipes.lm:language_model",
        "data.recipes.lm:measure_model",
        3,
        1.5,
        ("07", "08"),
    ),
    Recipe(
        "lm_solu_ln",
        "the same with SoLU neurons and LayerNorm",
        "data.recipes.lm:language_model",
        "data.recipes.lm:measure_model",
        3,
        1.5,
        ("07", "08"),
    ),
    Recipe(
        "lm_solu",
        "the same with SoLU neurons, no LayerNorm",
        "data.recipes.lm:language_model",
        "data.recipes.lm:measure_model",
        3,
        1.5,
        ("08",),
    ),
    Recipe(
        "lm_gelu_ln",
        "the same with GELU neurons and LayerNorm",
        "data.recipes.lm:language_model",
        "data.recipes.lm:measure_model",
        3,
        1.5,
        ("08",),
    ),
    Recipe(
        "lm_sizes",
        "small SoLU+LN and GELU transformers in pairs",
        "data.recipes.lm:sizes",
        "data.recipes.lm:measure_sizes",
        10,
        2,
        ("08",),
    ),
    Recipe(
        "lm_tables",
        "losses beside counting, small tasks over sizes",
        "data.recipes.lm:tables",
        "data.recipes.lm:measure_tables",
        3,
        0.1,
        ("08",),
    ),
    Recipe(
        "sae_a",
        "dictionaries A/0 (512), A/1 (4,096) and a second seed of A/1 on lm_relu",
        "data.recipes.sae:dictionaries",
        "data.recipes.sae:measure_dictionaries",
        30,
        9,
        ("09", "10", "11"),
    ),
    Recipe(
        "sae_b",
        "dictionary B/1 (4,096) on lm_relu_b",
        "data.recipes.sae:dictionaries",
        "data.recipes.sae:measure_dictionaries",
        11,
        4.3,
        ("10",),
    ),
    Recipe(
        "sae_a2",
        "dictionary A/2 (16,384) on lm_relu",
        "data.recipes.sae:dictionaries",
        "data.recipes.sae:measure_dictionaries",
        21,
        3.6,
        ("11",),
    ),
    Recipe(
        "sae_trials",
        "the λ sweep, and each ingredient taken away",
        "data.recipes.sae:trials",
        "data.recipes.sae:measure_trials",
        10,
        0.1,
        ("09",),
    ),
    Recipe(
        "sae_index",
        "top and uniform examples and kinds of text, for features and neurons",
        "data.recipes.sae:index",
        "data.recipes.sae:measure_index",
        5,
        3.9,
        ("09", "10", "11"),
    ),
    Recipe(
        "sae_tables",
        "universality, splitting graph, map of directions",
        "data.recipes.sae:tables",
        "data.recipes.sae:measure_tables",
        3,
        1.4,
        ("10", "11"),
    ),
)


def main(args: list[str]) -> int:
    """The command `make`: 0 when done, 1 with one sentence when not."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers make", description="Make what lies in data/ again."
    )
    parser.add_argument("name", nargs="*", help="what to make")
    parser.add_argument(
        "--list", action="store_true", help="names, minutes, sizes, and whether each is there"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="seconds, into .checkpoints/: shows that the code runs"
    )
    parser.add_argument("--full", action="store_true", help="the papers' size, into data/NAME-full")
    options = parser.parse_args(args)
    if options.list or not options.name:
        print(table())
        return 0
    keep_freed_memory()
    try:
        for name in options.name:
            make(name, smoke=options.smoke, full=options.full)
    except CourseError as error:
        print(error)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from the last checkpoint.")
        return 1
    return 0


def make(name: str, *, smoke: bool = False, full: bool = False) -> Path:
    """Run one recipe and return the folder it wrote. At scale full (asked for, or with a GPU) that is data/NAME-full."""
    recipe = find(name)
    course = setup(scale="full" if full else None, quiet=True)
    out = folder_of(recipe, scale=course.scale, smoke=smoke)
    print(
        f"{name} → {out.relative_to(ROOT).as_posix()} · {course} · about "
        f"{'a minute' if smoke else f'{recipe.minutes:g} minutes at scale small on two quiet cores'}"
    )
    start = time.perf_counter()
    _function(recipe.make)(scale=course.scale, smoke=smoke, out=out)
    if not out.is_dir() or not any(out.iterdir()):
        raise CourseError(
            f"{name} ended without writing {out.name}; its recipe {recipe.make} ignores `out`."
        )
    print(
        f"{name}: done in {(time.perf_counter() - start) / 60:.1f} minutes; "
        f"{sum(f.stat().st_size for f in out.rglob('*') if f.is_file()) / 1e6:.1f} MB"
    )
    return out


def measure(args: list[str]) -> int:
    """The command `measure NAME`: run the recipe's measurements on what is in data/ and print them as JSON."""
    if not args:
        print("Say what to measure: " + ", ".join(recipe.name for recipe in RECIPES))
        return 1
    try:
        for name in args:
            numbers = _function(find(name).measure)(
                out=folder_of(find(name), scale=current().scale, measuring=True)
            )
            print(json.dumps({name: numbers}, indent=1, ensure_ascii=False))
    except CourseError as error:
        print(error)
        return 1
    return 0


def find(name: str) -> Recipe:
    """The recipe with this name, or a CourseError that names the nearest one."""
    names = {recipe.name: recipe for recipe in RECIPES}
    if name in names:
        return names[name]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    raise CourseError(
        f"There is no {name!r} to make. "
        + (f"Did you mean {near[0]!r}? " if near else "")
        + "`python -m helpers make --list` shows all names."
    )


def folder_of(
    recipe: Recipe, *, scale: str = "small", smoke: bool = False, measuring: bool = False
) -> Path:
    """Where a run writes: never over tracked files, except at scale small, which is how these were made."""
    if smoke:
        return ROOT / ".checkpoints" / "smoke" / recipe.name
    full = ROOT / "data" / f"{recipe.name}-full"
    return (
        full
        if scale == "full" and (full.exists() or not measuring)
        else ROOT / "data" / recipe.name
    )


def state(recipe: Recipe) -> str:
    """ "missing", "damaged", "verified" (every file has the SHA-256 its manifest.json names) or "present" (no manifest)."""
    folder = folder_of(recipe)
    if not folder.is_dir() or not any(folder.iterdir()):
        return "missing"
    try:
        files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        for file, sha256 in files.items():
            verify_file(folder / file, sha256)
    except FileNotFoundError:
        return "present"
    except (CourseError, ValueError, KeyError):
        return "damaged"
    return "verified"


def table() -> str:
    """What `--list` prints: a line a recipe, in the order of RECIPES."""
    rows = [("name", "minutes", "MB", "state", "lessons", "what")]
    rows += [
        (r.name, f"{r.minutes:g}", f"{r.megabytes:g}", state(r), " ".join(r.lessons), r.what)
        for r in RECIPES
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in rows
    )


def _function(address: str):
    module, name = address.split(":")
    return getattr(importlib.import_module(module), name)
