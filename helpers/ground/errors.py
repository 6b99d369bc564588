"""The one exception whose message is for the learner; here, so that widgets load without torch."""


class CourseError(Exception):
    """Something the learner can put right: the message says what was given, expected, and to do."""
