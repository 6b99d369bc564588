"""Without the pretend device its tests are skipped, or fail where CI is set."""

import os

import pytest

from tests.pretend_gpu import available


@pytest.fixture(autouse=True)
def _device():
    if why := available():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
