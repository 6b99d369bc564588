"""`notebooks/CLAIMS.md`.

Every claim of the course, the paper's number beside ours, written from the recorded notebooks.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from helpers.ground.artifacts import ROOT, write_atomically

NOTEBOOKS = ROOT / "notebooks"
FULL = "claims_full.json"  # what `store_full` keeps, by lesson
HEAD = """\
# What the slides say, and what was measured

Written by `python -m helpers record` from the recorded notebooks; do not edit. ✓ the number keeps
its bound, ✗ it does not, ≠ it differs from the paper's, as the lesson says and explains. "Paper" is
the paper's own number and nothing else; "small" is what this repository's notebooks recorded on two
cores, "full" what the same cells gave at scale full on a GPU.
"""
COLUMNS = ("slide", "sentence", "paper", "small", "full", "bound")


def write(folder: Path = NOTEBOOKS) -> None:
    """Write CLAIMS.md into the folder of the notebooks."""
    write_atomically(folder / "CLAIMS.md", text(folder).encode())


def text(folder: Path = NOTEBOOKS) -> str:
    """The whole ledger as Markdown: a table a lesson, in the order in which its claims are made."""
    full = _full(folder)
    parts = [HEAD]
    for path in sorted(folder.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        found = claims(notebook)
        if not found:
            continue
        title = "".join(notebook["cells"][0]["source"]).splitlines()[0].lstrip("# ")
        parts += [f"## [{title}]({path.name})\n", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
        parts += [_row(_cells(claim, full.get(path.stem, {}))) for claim in found]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def claims(notebook: dict) -> list[dict]:
    """What each `claim(...)` left in the metadata of its output, in order."""
    outputs = (output for cell in notebook["cells"] for output in cell.get("outputs", []))
    return [
        output["metadata"]["claim"] for output in outputs if "claim" in output.get("metadata", {})
    ]


def store_full(path: Path, notebook: dict, *, device: str, minutes: float) -> None:
    """Keep the claims of one notebook that was run at scale full; other lessons' stay."""
    numbers = {
        claim["text"]: {"measured": claim["measured"], "mark": claim["mark"]}
        for claim in claims(notebook)
        if claim["scale"] == "full"
    }
    entry = {"claims": numbers, "code": _code(path), "device": device, "minutes": minutes}
    everything = _full(path.parent) | {path.stem: entry}
    text = json.dumps(everything, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    write_atomically(path.parent / FULL, text.encode())


def is_stored(path: Path) -> bool:
    """Whether this lesson was measured at scale full with the code cells that it has now."""
    return _full(path.parent).get(path.stem, {}).get("code") == _code(path)


def _code(path: Path) -> str:
    """A number for the lesson's code cells."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    return hashlib.sha256("\n".join(code[1:]).encode()).hexdigest()[:16]  # set-up left out


def _cells(claim: dict, full: dict) -> list[str]:
    paper = claim["paper"] if claim["paper"] is not None else "–"
    if claim["source"]:
        paper += f" ({claim['source']})"
    there = full.get("claims", {}).get(claim["text"])
    return [
        claim["slide"],
        claim["text"],
        paper,
        f"{claim['mark']} {claim['measured']}",
        f"{there['mark']} {there['measured']}" if there else "not measured",
        claim["bound"],
    ]


def _row(cells) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _full(folder: Path) -> dict:
    path = folder / FULL
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
