"""Other artists' emoji, for training and judging clip_emoji: drawn once, never shipped.

They come as SVG in JavaScript packages (`npm pack`) and are drawn by resvg (`pip install resvg-py`)
as files of 72 px named as Twemoji's are.
"""

import json
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from helpers.datasets.scenes import concepts
from helpers.ground import ROOT
from helpers.ground.artifacts import write_atomically
from helpers.ground.errors import CourseError

FOLDER = ROOT / ".checkpoints" / "arts"
ARTS = {  # package: version, whose, licence of the pictures
    "noto": ("1.2.9", "Noto Emoji", "Google, Apache-2.0"),
    "noto-v1": ("1.2.5", "Noto Emoji before 2017", "Google, Apache-2.0"),
    "fluent-emoji": ("1.2.7", "Fluent Emoji", "Microsoft, MIT"),
    "fluent-emoji-flat": ("1.2.6", "Fluent Emoji Flat", "Microsoft, MIT"),
    "emojione": ("1.2.3", "Emoji One 2", "Emoji One, CC-BY 4.0"),
    "openmoji": ("1.2.29", "OpenMoji", "OpenMoji, CC-BY-SA 4.0"),
}
UNSEEN = "openmoji"  # never trained on
SPELT = ("noto", "fluent-emoji-flat", "openmoji")  # packages that say which name has which code


@cache
def art(name: str) -> Path:
    """The folder with this art's pictures; fetched and drawn when it is not there yet."""
    folder = FOLDER / name
    if not (folder / "done").exists():
        import resvg_py

        for code, svg in pictures(name).items():
            drawn = resvg_py.svg_to_bytes(svg_string=svg, width=72, height=72)
            write_atomically(folder / f"{code}.png", bytes(drawn))
        write_atomically(folder / "done", b"")
    return folder


def pictures(name: str) -> dict[str, str]:
    """Code points as Twemoji writes them -> SVG, of all pictures of the concepts that it has."""
    icons = read(name, "icons.json")
    bodies, aliases = icons["icons"], icons.get("aliases", {})
    found = {}
    for concept in concepts():
        for code, _ in concept.pictures:
            known = [spelt for spelt in names().get(plain(code), ()) if spelt in bodies | aliases]
            if known:
                icon = bodies.get(known[0]) or bodies[aliases[known[0]]["parent"]]
                sides = [icon.get(side, icons.get(side, 16)) for side in ("width", "height")]
                box = f'viewBox="0 0 {sides[0]} {sides[1]}"'
                found[code] = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{icon["body"]}</svg>'
    return found


@cache
def names() -> dict[str, list[str]]:
    """Code points -> the names that the packages give them, in a fixed order."""
    found: dict[str, list[str]] = {}
    for package in SPELT:
        for code, name in read(package, "chars.json").items():
            found.setdefault(plain(code), []).append(name)
        for alias, icon in read(package, "icons.json").get("aliases", {}).items():
            for spelt in found.values():
                if icon["parent"] in spelt:
                    spelt.append(alias)
    return found


def plain(code: str) -> str:
    """Code points without "emoji style" marks and leading zeros, which only some packages write."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f").lstrip("0")


@cache
def read(name: str, file: str) -> dict:
    """A JSON file of a package; fetches the package when it is not there yet."""
    version = ARTS[name][0]
    archive = FOLDER / f"iconify-json-{name}-{version}.tgz"
    if not archive.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"@iconify-json/{name}@{version}"]
        try:
            subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CourseError(
                f"The pictures of {ARTS[name][1]} could not be fetched: `{' '.join(command)}` "
                f"failed. Put {archive.name} into {FOLDER.relative_to(ROOT)} by hand."
            ) from error
    with tarfile.open(archive) as packed:
        return json.load(packed.extractfile(f"package/{file}"))
