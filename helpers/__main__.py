"""`python -m helpers COMMAND`. Python 2.7 can read this file too: an old one gets a sentence."""

import os
import sys

OLDEST, NEWEST = (3, 11), (3, 13)  # what every package of requirements.txt has wheels for
HERE = os.path.dirname(os.path.abspath(__file__))


def python_problem(version, is_64bit=True):
    """The sentence for a Python the course cannot use, such as (3, 10), or an empty string."""
    if is_64bit and OLDEST <= tuple(version[:2]) <= NEWEST:
        return ""
    return (
        "The course runs on Python 3.11 to 3.13 (64 bit); this is Python %d.%d%s. Install one "
        "of these from python.org, conda or your package manager, and call it by its name: "
        "python3.12 -m helpers lab (on Windows: py -3.12 -m helpers lab)."
    ) % (version[0], version[1], "" if is_64bit else " (32 bit)")


if __name__ == "__main__":
    problem = python_problem(sys.version_info, sys.maxsize > 2**32)
    if problem:
        sys.exit(problem)
    # `python path/helpers lab` puts helpers/ itself on the path, where its modules hide others
    others = os.environ.get("PYTHONPATH", HERE).split(os.pathsep) + [HERE]
    hiding = [os.path.abspath(folder) for folder in others]
    seen = [entry for entry in sys.path if os.path.abspath(entry) not in hiding]
    sys.path[:] = [os.path.dirname(HERE)] + seen
    from helpers.cli import main

    sys.exit(main(sys.argv[1:]))
