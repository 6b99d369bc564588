"""What everything stands on: set-up, stored files, errors, Colab, statistics.

Imports nothing above itself.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds notebooks/, helpers/ and data/
