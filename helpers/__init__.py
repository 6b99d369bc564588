"""The small library behind the course. Importing it loads nothing heavy: ask for the room you need.

from helpers.ground.runtime import setup
from helpers.saliency import integrated_gradients
"""
