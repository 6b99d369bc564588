"""What every test stands on: the settings of the test command, also where pytest is called."""

import os
import sys
import tempfile

import pytest
from hypothesis import HealthCheck, settings

os.environ.update({"COURSE_SCALE": "small", "COURSE_SOURCE": "packaged", "COURSE_TEST": "1"})
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{tempfile.gettempdir()}/hypothesis")
drawn = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("suite", max_examples=200, derandomize=True, **drawn)
settings.register_profile("long", max_examples=10_000, print_blob=True, **drawn)
settings.load_profile("suite")  # the other by --hypothesis-profile=long


@pytest.fixture(autouse=True)
def _threads():
    """Floats move with the number of threads. Tests of what needs no torch do not load it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(int(os.environ.get("COURSE_THREADS", "2")))


@pytest.fixture
def steps():
    """(learning rate, length of the whole gradient) of every step of an optimizer in the test."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    seen = []

    def note(optimizer, *_):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norms = [p.grad.norm() for p in parameters if p.grad is not None]
        seen.append((optimizer.param_groups[0]["lr"], float(torch.stack(norms).norm())))

    handle = register_optimizer_step_pre_hook(note)
    yield seen
    handle.remove()
