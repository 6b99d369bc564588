"""Every lesson's code cells run on a GPU: with few steps and samples, and no claim judged."""

import os

import pytest

from helpers.ground import ROOT
from tests.gpu.lessons import run
from tests.pretend_gpu import available


@pytest.mark.long  # minutes each: not yet quick enough for every run
@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem[:2]
)
def test_a_lesson(path):
    if why := available():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    faults, gpu = run(path)
    assert [str(fault) for fault in faults] == []
    assert gpu.launches > 100  # it did use the device
