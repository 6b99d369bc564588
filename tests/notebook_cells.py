"""What stands in a lesson's notebook: its cells, and the folded solutions of its exercises."""

import json
import re

from helpers.ground import ROOT

EXERCISE_OR_SOLUTION = re.compile(
    r"\*\*Exercise (\d+\.\d+)|<summary>Solution.*?```python\n(.*?)```", re.S
)


def sources(notebook: str, kinds=("markdown", "code")) -> list[str]:
    """The source of every cell. notebook: a file name's beginning, such as "04"."""
    (path,) = (ROOT / "notebooks").glob(f"{notebook}*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] in kinds]


def solutions(notebook: str) -> dict[str, str]:
    """{exercise, such as "4.1": the code of its folded solution}, in reading order."""
    codes, exercise = {}, None
    for number, code in EXERCISE_OR_SOLUTION.findall("\n\n".join(sources(notebook))):
        if number:
            exercise = number
        else:
            codes[exercise] = code
    return codes


def solved(notebook: str, **given) -> dict:
    """What the solutions define when they run one after the other; `given`: names that they use."""
    space = dict(given)
    for code in solutions(notebook).values():
        exec(code, space)
    return space
