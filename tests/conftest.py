"""What every test stands on: the settings of the test command, also where pytest is called."""

import os
import sys

import pytest

os.environ.update({"COURSE_SCALE": "small", "COURSE_SOURCE": "packaged", "COURSE_TEST": "1"})
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _threads():
    """Floats move with the number of threads. Tests of what needs no torch do not load it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(int(os.environ.get("COURSE_THREADS", "2")))
