"""What everything stands on: set-up, stored files, errors, Colab, statistics; it knows no other."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds notebooks/, helpers/ and data/
