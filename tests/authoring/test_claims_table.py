"""The ledger.

A row a claim, the full scale's numbers beside, and the committed file is what the notebooks say.
"""

import json

import pytest

from tests.authoring import claims_table


def notebook(*claims):
    outputs = [
        {"output_type": "display_data", "data": {"text/plain": ["✓"]}, "metadata": {"claim": claim}}
        for claim in claims
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# 01 · Maps\n", "\n", "badge"]},
        {"cell_type": "code", "source": [], "outputs": outputs},
        {
            "cell_type": "code",
            "source": [],
            "outputs": [
                {
                    "output_type": "stream",
                    "name": "stdout",
                    "text": ["✓ no claim: 1 (> 0) · D1-01\n"],
                }
            ],
        },
    ]
    return {"cells": cells}


CLAIM = {
    "text": "maps agree | or nearly",
    "measured": "0.825",
    "bound": "> 0.65",
    "mark": "✓",
    "slide": "D1-09",
    "paper": "0.888",
    "source": "Adebayo et al. 2018",
    "scale": "small",
}
PLAIN = CLAIM | {"text": "second", "mark": "≠", "paper": None, "source": None}


def test_a_row_a_claim(tmp_path):
    (tmp_path / "01_maps.ipynb").write_text(json.dumps(notebook(CLAIM, PLAIN)), encoding="utf-8")
    (tmp_path / "02_none.ipynb").write_text(json.dumps(notebook()), encoding="utf-8")
    claims_table.write(tmp_path)
    lines = (tmp_path / "CLAIMS.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith(("##", "| D"))] == [
        "## [01 · Maps](01_maps.ipynb)",
        "| D1-09 | maps agree \\| or nearly | 0.888 (Adebayo et al. 2018) | ✓ 0.825 "
        "| not measured | > 0.65 |",
        "| D1-09 | second | – | ≠ 0.825 | not measured | > 0.65 |",
    ]


def test_numbers_at_full_scale_are_kept_a_lesson_and_only_when_measured_there(tmp_path):
    path, other = tmp_path / "01_maps.ipynb", tmp_path / "07_other.ipynb"
    path.write_text(json.dumps(notebook(CLAIM, PLAIN)), encoding="utf-8")
    other.write_text(json.dumps(notebook(PLAIN)), encoding="utf-8")
    full = CLAIM | {"measured": "0.9", "scale": "full"}
    claims_table.store_full(path, notebook(full, PLAIN), device="a card", minutes=1)
    claims_table.store_full(other, notebook(full), device="a card", minutes=2)
    text = claims_table.text(tmp_path)
    assert "| ✓ 0.825 | ✓ 0.9 | > 0.65 |" in text
    assert "| ≠ 0.825 | not measured |" in text
    assert claims_table.is_stored(path)
    changed = notebook(CLAIM)
    changed["cells"][2]["source"] = ["x = 1"]
    path.write_text(json.dumps(changed), encoding="utf-8")
    assert not claims_table.is_stored(path)
    assert claims_table.is_stored(other)


@pytest.mark.skipif(
    not list(claims_table.NOTEBOOKS.glob("*.ipynb")), reason="no notebook has been recorded yet"
)
def test_the_committed_ledger_says_what_the_notebooks_recorded():
    assert (claims_table.NOTEBOOKS / "CLAIMS.md").read_text(encoding="utf-8") == claims_table.text()
