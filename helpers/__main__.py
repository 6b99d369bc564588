"""`python -m helpers COMMAND`: open the course, test it, look after it. `python -m helpers` lists the commands.

Every Python since 2.7 can read this file, so that one that is too old gets a sentence and not a SyntaxError.
Only the standard library is used until .venv exists.
"""

import sys

OLDEST, NEWEST = (3, 11), (3, 13)  # what every package of requirements.txt has wheels for


def python_problem(version, is_64bit=True):
    """The sentence for a Python the course cannot use, or an empty string. `version`: such as (3, 12)."""
    ours = "The course runs on Python 3.11, 3.12 or 3.13 (64 bit)"
    what_to_do = (
        "Install one of these from python.org, conda or your package manager, and call it by its name: "
        "python3.12 -m helpers lab (on Windows: py -3.12 -m helpers lab)."
    )
    if not is_64bit:
        return "%s; this one has 32 bit, for which there is no PyTorch. %s" % (ours, what_to_do)
    if tuple(version[:2]) < OLDEST or tuple(version[:2]) > NEWEST:
        return "%s; this is Python %d.%d. %s" % (ours, version[0], version[1], what_to_do)
    return ""


if __name__ == "__main__":
    problem = python_problem(sys.version_info, sys.maxsize > 2**32)
    if problem:
        sys.exit(problem)
    from helpers.cli import main

    sys.exit(main(sys.argv[1:]))
