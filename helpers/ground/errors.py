"""The one exception whose message is for the learner; apart from `runtime`, so that widgets load without torch."""


class CourseError(Exception):
    """Something the learner can put right; the message says what was found, what was expected, and what to do."""
