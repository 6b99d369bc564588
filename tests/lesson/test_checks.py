"""What every exercise's check says: empty stubs, exceptions in one line, named mistakes, and ✓."""

import pytest
import torch

from helpers.lesson.checks import close, compare, exercise


@exercise
def mean_square(fn):
    """The mean of the squares; 12.5 for (3, 4) by hand."""
    yours = fn(torch.tensor([3.0, 4.0]))
    if close(yours, 25.0):
        return "you have added the squares up: divide by how many there are"
    return None if close(yours, 12.5) else "3 and 4 should give 12.5"


@exercise
def letter(answer):
    return None if answer.lower() == "c" else "look at the figure again"


def stub(x): ...


def unwritten(x):
    raise NotImplementedError


def half_written(x):
    squares = x**2  # noqa: F841
    return ...


def divides_by_zero(x):
    count = 0
    return 1 / count


def helper(x):
    return x.no_such_method()


def through_a_helper(x):
    return helper(x)


@pytest.mark.parametrize("answer", [..., None, stub, unwritten, half_written, lambda x: None])
def test_an_empty_stub_is_not_answered_yet(answer):
    assert mean_square.verdict(answer) == "not answered yet"


@pytest.mark.parametrize("answer", [..., None, "", "  "])
def test_an_empty_value_is_not_answered_yet(answer):
    assert letter.verdict(answer) == "not answered yet"


@pytest.mark.parametrize(
    ("check", "answer", "expected"),
    [
        (mean_square, lambda x: (x**2).mean(), "✓"),
        (
            mean_square,
            lambda x: (x**2).sum(),
            "you have added the squares up: divide by how many there are",
        ),
        (mean_square, lambda x: x.mean(), "3 and 4 should give 12.5"),
        (mean_square, lambda x: x**2, "3 and 4 should give 12.5"),  # a wrong shape is not close
        (
            mean_square,
            divides_by_zero,
            "your code raises ZeroDivisionError: division by zero, in its line `return 1 / count`",
        ),
        (
            mean_square,
            through_a_helper,
            "your code raises AttributeError: 'Tensor' object has no attribute 'no_such_method', "
            "in its line `return x.no_such_method()`",
        ),
        (
            mean_square,
            lambda: 3,
            "your function cannot be called as the exercise says: TypeError: <lambda>() takes 0 "
            "positional arguments but 1 was given",
        ),
        (
            mean_square,
            lambda x: "12.5",
            "this answer cannot be used: TypeError: new(): invalid data type 'str'",
        ),
        (
            mean_square,
            12.5,
            "this answer cannot be used: TypeError: 'float' object is not callable",
        ),
        (letter, "C", "✓"),
        (letter, "a", "look at the figure again"),
    ],
)
def test_verdicts(check, answer, expected):
    assert check.verdict(answer) == expected


def test_a_learner_sees_one_line_and_no_value(capsys):
    assert mean_square(divides_by_zero) is None
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    assert "Traceback" not in printed.out + printed.err


def test_code_of_a_notebook_cell_is_quoted_from_the_cell():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_cell("def answer(x):\n    y = x * 2\n    return y.oops")
    assert mean_square.verdict(shell.user_ns["answer"]).endswith("in its line `return y.oops`")


def test_a_stop_by_the_learner_is_not_swallowed():
    def endless(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mean_square.verdict(endless)


@pytest.mark.parametrize(
    ("yours", "expected", "answer"),
    [
        (1.0, 1.0005, True),
        (1.0, 1.1, False),
        ([1, 2], torch.tensor([1.0, 2.0]), True),
        ([1.0], 1.0, False),
        (float("nan"), float("nan"), True),
        (torch.ones(2).double(), torch.ones(2), True),
    ],
)
def test_close(yours, expected, answer):
    assert close(yours, expected) is answer


MISTAKES = {"half of it": 1.0, "turned round": [-2.0, torch.tensor(-1.0)], "never": 2.0}
TWO = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("yours", "right", "line"),
    [
        (2.0, 2.0, None),  # what is right is right, whatever the mistakes say
        (2, torch.tensor(2.0), None),
        (1.0, 2.0, "half of it"),
        (torch.tensor(-1.0), 2.0, "turned round"),
        (7.5, 2.0, "2 is expected; yours gives 7.5"),
        (TWO, 2.0, "one number is expected; yours has the shape (2,)"),
        (1.0, TWO, "the shape (2,) is expected; yours has the shape ()"),
        (TWO * 3, TWO, "[1, 2] is expected; yours gives [3, 6]"),
        (
            torch.zeros(9),
            torch.ones(9),
            f"[{'1, ' * 8}…] is expected; yours gives [{'0, ' * 8}…]",
        ),
    ],
)
def test_compare_knows_the_shape_the_right_value_and_the_named_mistakes(yours, right, line):
    assert compare(yours, right, MISTAKES) == line


def test_compare_takes_a_last_word():
    assert compare(7, 2, MISTAKES, otherwise="read the text again") == "read the text again"
    assert compare(1.0, 2.0, MISTAKES, otherwise="read the text again") == "half of it"
