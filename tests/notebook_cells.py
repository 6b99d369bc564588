"""What stands in a lesson's notebook: the sources of its cells, and the folded solutions of its exercises."""

import json
import re

from helpers.ground import ROOT

SOLUTION = re.compile(r"<summary>Solution.*?```python\n(.*?)```", re.S)


def sources(notebook: str) -> list[str]:
    """The source of every cell. notebook: a file name's beginning, such as "04"."""
    (path,) = (ROOT / "notebooks").glob(f"{notebook}*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells]


def solutions(notebook: str) -> dict[str, str]:
    """{exercise, such as "4.1": the code of its folded solution}, in reading order."""
    codes, exercise = {}, None
    for source in sources(notebook):
        for number in re.findall(r"\*\*Exercise (\d+\.\d+)", source):
            exercise = number
        for code in SOLUTION.findall(source):
            codes[exercise] = code
    return codes


def solved(notebook: str, **given) -> dict:
    """What the solutions define when they run one after the other; `given`: names that they use."""
    space = dict(given)
    for code in solutions(notebook).values():
        exec(code, space)
    return space
