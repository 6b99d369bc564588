"""What every test stands on: the settings of the test command, also where pytest is called by itself."""

import os

os.environ.update({"COURSE_SCALE": "small", "COURSE_SOURCE": "packaged", "COURSE_TEST": "1"})
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def _two_threads():
    """Floats move with the number of threads."""
    import torch

    torch.set_num_threads(2)
