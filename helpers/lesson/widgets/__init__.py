"""What a learner can touch: thin ipywidgets views, with only what ipywidgets 7 and 8 share.

Each returns a `View`, whose parts (`controls`, `text`, `put`, `choices`, ...) can be driven from
code. What stands on its screen is stored in the notebook, so a reader without a kernel sees the
starting picture or the question.
"""

from helpers.lesson.widgets.class_widgets import board_view, choice_view, rating_view
from helpers.lesson.widgets.explore import picture_input, playground
from helpers.lesson.widgets.view import View, button

__all__ = ["View", "board_view", "button", "choice_view", "picture_input", "playground"]
__all__ += ["rating_view"]
