"""`python -m helpers make NAME`: what lies in data/, and how each part is made again."""

from __future__ import annotations

import argparse
import ctypes
import difflib
import importlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from data.recipes.base import Run
from helpers.ground import ROOT
from helpers.ground.artifacts import verify_file
from helpers.ground.errors import CourseError
from helpers.ground.runtime import current, setup


@dataclass(frozen=True)
class Recipe:
    """One entry of data/. `code` names its module here and its function: "lm:tables" means that
    `data.recipes.lm.tables(run)` makes it and `measure_tables(run)` returns its numbers."""

    name: str  # its folder: data/NAME
    code: str
    minutes: float  # at scale small, on two quiet cores
    megabytes: float  # in data/
    lessons: str  # who needs it, such as "04 05"
    what: str  # one line for `--list`

    @classmethod
    def read(cls, entry: str) -> Recipe:
        """Two lines of TABLE."""
        numbers, what = entry.splitlines()
        name, code, minutes, megabytes, lessons = numbers.split(maxsplit=4)
        return cls(name, code, float(minutes), float(megabytes), lessons, what.strip())

    def make(self, run: Run) -> None:
        """Write the folder `run.out`; resumable, and a smoke run takes seconds."""
        self._function("")(run)

    def measure(self, run: Run) -> dict:
        """The numbers of what lies in `run.out`."""
        return self._function("measure_")(run)

    def _function(self, prefix: str):
        module, name = self.code.split(":")
        name = "measure" if prefix and name == "make" else prefix + name
        return getattr(importlib.import_module(f"data.recipes.{module}"), name)


# name, module:function, minutes (scale small, two quiet cores), MB, lessons; below it what it is
TABLE = """\
clip_emoji             clip_emoji:make         60  3.2  02 03
    an image-text model in open_clip's format, trained on scenes of emoji
clip_maps              clip_maps:make           7  0.1  02
    how well maps of clip_emoji point at what was asked, on held-out scenes
scene_classifier       scene_classifier:make    5  0.7  03
    a small ReLU network with one score a concept of the scenes
attention_imdb         attention_imdb:make      5    1  04 05
    attention models on IMDb's reviews, additive and scaled dot
attention_tables       attention_tables:make   18  2.4  05
    seeds, uniform weights, adversaries and the MLP diagnostic on two data sets, as numbers
attention_imdb_tables  attention_tables:make   45  1.1  04 05
    the same on IMDb's reviews, as numbers
diffusion              diffusion:make           4  0.6  03
    a small diffusion model that draws digits of 16 pixels
    remove and retrain: what digits networks still learn without each method's top pixels
tokenizer              lm:tokenizer           0.5  0.1  07 08 09 10 11
    byte-level BPE with 4,096 tokens for the language models
lm_relu                lm:language_model        5  1.5  08 09 10 11
    one-layer transformer with ReLU neurons: the model the dictionaries explain
lm_relu_b              lm:language_model        5  1.5  10
    the same with a second seed
lm_gelu                lm:language_model        3  1.5  07 08
    the same with GELU neurons
lm_solu_ln             lm:language_model        3  1.5  07 08
    the same with SoLU neurons and LayerNorm
lm_solu                lm:language_model        3  1.5  08
    the same with SoLU neurons, no LayerNorm
lm_gelu_ln             lm:language_model        3  1.5  08
    the same with GELU neurons and LayerNorm
lm_sizes               lm:sizes                10    2  08
    small SoLU+LN and GELU transformers in pairs
lm_tables              lm:tables                3  0.1  08
    losses beside counting, small tasks over sizes
sae_a                  sae:dictionaries        30    5  09 10 11
    dictionaries A/0 (512) and A/1 (4,096) on lm_relu
sae_seed               sae:dictionaries        30  4.3  10
    a second seed of A/1
sae_topk               sae:dictionaries        30  4.3  11
    A/1 as a BatchTopK, to compare with A/2
sae_b                  sae:dictionaries        11  4.3  10
    dictionary B/1 (4,096) on lm_relu_b
sae_a2                 sae:dictionaries        21 17.0  11
    dictionary A/2 (16,384), a BatchTopK, on lm_relu
sae_trials             sae:trials              10  0.1  09
    the λ sweep, and each ingredient taken away
sae_controls           sae:controls             4  0.1  10
    dictionaries of a transformer with shuffled weights and of a random one, as numbers
sae_index              sae:index                5  3.9  09 10 11
    top and uniform examples and kinds of text, for features and neurons
sae_tables             sae:tables               3  1.4  10 11
    universality, splitting graph, map of directions
explanations           explanations:make        1  0.1  10
    48 units in words, and simulated from the words alone
sae_known              sae_kinds:known         12  0.1  13
    five kinds of dictionary in a world whose features are known, as numbers
sae_kinds              sae_kinds:controls       8  0.1  13
    the five kinds on lm_relu, beside controls that learned nothing, as numbers
sae_smollm2            sae_smollm2:make        75  5.5  13
    a dictionary (4,096) on the residual stream of SmolLM2, and where its features fire
steering               sae_smollm2:conversations 8 0.2  13
    answers of SmolLM2 in conversation, steered by prompts, differences of means and features
"""
RECIPES = tuple(Recipe.read(entry) for entry in re.findall(r".+\n    .+\n", TABLE))


def keep_freed_memory() -> None:
    """Let Linux's C library keep the memory of arrays that are gone, for the next ones.

    By default it gives blocks of 32 MB and more back and has every new one faulted in page by page:
    a step of training 16,384 features takes 420 ms instead of 280.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(-4, 0)  # M_MMAP_MAX: no block gets a mapping of its own
    mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: what is free stays


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
    """Run one recipe and return the folder it wrote: at scale full that is data/NAME-full."""
    recipe = find(name)
    course = setup(scale="full" if full else None, quiet=True)
    out = folder_of(recipe, scale=course.scale, smoke=smoke)
    usual = f"{recipe.minutes:g} minutes at scale small on two quiet cores"
    place = out.relative_to(ROOT).as_posix()
    print(f"{name} → {place} · {course} · about {'a minute' if smoke else usual}")
    start = time.perf_counter()
    recipe.make(Run(out, course.scale, smoke))
    if not out.is_dir() or not any(out.iterdir()):
        raise CourseError(
            f"{name} ended without writing {out.name}; its recipe {recipe.code} ignores `run.out`."
        )
    minutes = (time.perf_counter() - start) / 60
    megabytes = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 1e6
    print(f"{name}: done in {minutes:.1f} minutes; {megabytes:.1f} MB")
    return out


def measure(args: list[str]) -> int:
    """The command `measure NAME`: print a recipe's measurements of what is in data/ as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers measure", description="Measure what lies in data/."
    )
    parser.add_argument("name", nargs="*", help="what to measure")
    names = parser.parse_args(args).name
    if not names:
        print("Say what to measure: " + ", ".join(recipe.name for recipe in RECIPES))
        return 1
    try:
        for name in names:
            recipe, scale = find(name), current().scale
            numbers = recipe.measure(Run(folder_of(recipe, scale=scale, measuring=True), scale))
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
    """Where a run writes: over tracked files only at scale small, which is how these were made."""
    if smoke:
        return ROOT / ".checkpoints" / "smoke" / recipe.name
    full = ROOT / "data" / f"{recipe.name}-full"
    beside = scale == "full" and (full.exists() or not measuring)
    return full if beside else ROOT / "data" / recipe.name


def state(recipe: Recipe) -> str:
    """Is it "missing", "damaged", "present", or "verified": as manifest.json's SHA-256 say."""
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
        (r.name, f"{r.minutes:g}", f"{r.megabytes:g}", state(r), r.lessons, r.what) for r in RECIPES
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    padded = [[c.ljust(w) for c, w in zip(row[:5], widths, strict=True)] for row in rows]
    return "\n".join("  ".join([*cells, row[5]]) for cells, row in zip(padded, rows, strict=True))
