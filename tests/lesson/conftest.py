"""Every test here begins as a new kernel does: no answer waits in memory."""

import pytest

from helpers.lesson import answers


@pytest.fixture(autouse=True)
def no_memory_of_other_tests():
    answers._answer_file.cache_clear()
    answers._unsaved_person.cache_clear()
