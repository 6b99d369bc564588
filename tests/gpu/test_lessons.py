"""Every lesson's code cells run on a GPU: with few steps and samples, and no claim judged."""

import pytest

from helpers.ground import ROOT
from tests.gpu.lessons import run


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem[:2]
)
def test_a_lesson(path):
    faults, gpu = run(path)
    assert [str(fault) for fault in faults] == []
    assert gpu.launches > 100  # it did use the device
