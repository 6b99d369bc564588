"""The one exception whose message is for the learner; here, so that widgets load without torch."""


class CourseError(Exception):
    """Something the learner can put right: the message says what was given, expected, and to do."""


def first_line(error: BaseException) -> str:
    """What an exception says first."""
    return (str(error).strip().splitlines() or ["no message"])[0][:100]
