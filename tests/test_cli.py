"""The two commands of a newcomer, and everything that can go wrong on the way to them.

.venv is real here (made without packages); only pip is played, by a small program that fails in the ways pip does.
"""

import ast
import errno
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from helpers import cli, environment
from helpers.__main__ import python_problem
from helpers.environment import ROOT, NothingChanged, Stop

PLAYED_PIP = """
import os, sys, time
log = sys.argv[sys.argv.index("--log") + 1]
with open(os.environ["PIP_CALLS"], "a") as calls:
    calls.write(" ".join(sys.argv) + "\\n")
mood = os.environ.get("PIP_MOOD", "well")
if mood == "slow":
    time.sleep(20)
if mood != "well":
    with open(log, "w") as file:
        file.write(mood)
    sys.exit(1)
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course folder with requirements and no .venv; `course.pip_calls()` are the command lines pip saw."""
    (tmp_path / "played" / "pip").mkdir(parents=True)
    (tmp_path / "played" / "pip" / "__main__.py").write_text(PLAYED_PIP)
    root = tmp_path / "course"
    (root / "tests").mkdir(parents=True)
    (root / "requirements.txt").write_text("torch>=2.9\n")
    (root / "tests" / "requirements.txt").write_text("captum\n")
    calls = tmp_path / "calls"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "played"), str(ROOT)]))
    monkeypatch.setenv("PIP_CALLS", str(calls))
    monkeypatch.setattr(environment, "NEEDED_GB", 0)
    monkeypatch.setattr(
        environment,
        "make",
        lambda root: venv.create(environment.venv_folder(root), symlinks=not environment.WINDOWS),
    )

    class Course:
        folder = root

        @staticmethod
        def pip_calls():
            return calls.read_text().splitlines() if calls.exists() else []

    return Course


# ---- .venv ----
def test_the_first_call_installs_and_the_second_does_nothing(course):
    environment.prepare(root=course.folder)
    assert environment.ready(root=course.folder)
    environment.prepare(root=course.folder)
    assert len(course.pip_calls()) == 1
    assert str(course.folder / "requirements.txt") in course.pip_calls()[0]


def test_changed_requirements_are_installed_and_changed_comments_are_not(course):
    environment.prepare(root=course.folder)
    requirements = course.folder / "requirements.txt"
    requirements.write_bytes(b"# why\r\ntorch>=2.9   # because\r\n")
    assert environment.ready(root=course.folder)
    requirements.write_text("torch>=2.10\n")
    environment.prepare(root=course.folder)
    assert len(course.pip_calls()) == 2


def test_the_tests_need_more_than_the_lab_and_the_lab_no_more_afterwards(course):
    environment.prepare(root=course.folder)
    environment.prepare(environment.TEST_REQUIREMENTS, course.folder)
    assert "tests" in course.pip_calls()[1]
    environment.prepare(root=course.folder)
    assert len(course.pip_calls()) == 2


def test_a_killed_installation_is_made_anew(course, monkeypatch):
    monkeypatch.setenv("PIP_MOOD", "slow")
    code = (
        "import sys, venv; from pathlib import Path; from helpers import environment as e; e.NEEDED_GB = 0\n"
        "e.make = lambda root: venv.create(e.venv_folder(root), symlinks=not e.WINDOWS)\n"
        "e.prepare(root=Path(sys.argv[1]))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(course.folder)])
    for _ in range(200):
        if course.pip_calls():
            break
        time.sleep(0.05)
    with pytest.raises(
        Stop, match="Another window is installing"
    ):  # a second call while the first is at work
        environment.prepare(root=course.folder)
    child.kill()
    child.wait()
    left = environment.venv_folder(course.folder) / "half-a-package"
    left.write_text("")
    assert not environment.ready(root=course.folder)
    monkeypatch.setenv("PIP_MOOD", "well")
    environment.prepare(root=course.folder)
    assert environment.ready(root=course.folder)
    assert not left.exists()


def test_a_broken_download_says_so_and_the_next_call_goes_on(course, monkeypatch):
    monkeypatch.setenv(
        "PIP_MOOD",
        "WARNING: Retrying ... NewConnectionError ...\nERROR: No matching distribution found for torch\n"
        "resolvers.ResolutionImpossible: ...",
    )  # what pip 23 logs without a connection
    with pytest.raises(
        NothingChanged, match="broke off: check the connection, then call this again"
    ):
        environment.prepare(root=course.folder)
    kept = environment.venv_folder(course.folder) / "kept"
    kept.write_text("")
    monkeypatch.setenv("PIP_MOOD", "well")
    environment.prepare(root=course.folder)
    assert environment.ready(root=course.folder)
    assert kept.exists()


def test_a_disk_that_fills_up_says_so_and_the_next_call_starts_over(course, monkeypatch):
    monkeypatch.setenv(
        "PIP_MOOD",
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    )
    with pytest.raises(Stop, match="The disk is full .* Free some, then call this again"):
        environment.prepare(root=course.folder)
    left = environment.venv_folder(course.folder) / "half-a-package"
    left.write_text("")
    monkeypatch.setenv("PIP_MOOD", "well")
    environment.prepare(root=course.folder)
    assert environment.ready(root=course.folder)
    assert not left.exists()


def test_too_little_disk_is_said_before_anything_is_fetched(course, monkeypatch):
    monkeypatch.setattr(environment, "NEEDED_GB", 10**9)
    with pytest.raises(Stop, match="Installing needs 1000000000 GB of free disk"):
        environment.prepare(root=course.folder)
    assert not course.pip_calls()
    assert not environment.unfinished_mark(course.folder).exists()


def test_another_failure_of_pip_gives_its_own_words(course, monkeypatch):
    monkeypatch.setenv(
        "PIP_MOOD",
        "WARNING: Retrying ... Read timed out\n"
        "ERROR: Cannot install a and b because these package versions conflict",
    )
    with pytest.raises(Stop, match=r"Cannot install a and b .*call this again"):
        environment.prepare(root=course.folder)


@pytest.mark.parametrize("damage", ["no python", "python 3.10", "no settings"])
def test_an_unusable_venv_is_made_anew(course, damage):
    environment.prepare(root=course.folder)
    settings = environment.venv_folder(course.folder) / "pyvenv.cfg"
    if damage == "no python":
        shutil.rmtree(environment.venv_python(course.folder).parent)
    else:
        environment.stamp_file(course.folder).unlink()
        settings.write_text("version = 3.10.4\n") if damage == "python 3.10" else settings.unlink()
    environment.prepare(root=course.folder)
    assert environment.ready(root=course.folder)
    assert f"version = {sys.version_info[0]}.{sys.version_info[1]}" in settings.read_text()


def test_a_venv_somebody_made_is_kept(course):
    venv.create(environment.venv_folder(course.folder), symlinks=not environment.WINDOWS)
    theirs = environment.venv_folder(course.folder) / "theirs"
    theirs.write_text("")
    environment.prepare(root=course.folder)
    assert theirs.exists()
    assert environment.ready(root=course.folder)


def test_a_stamp_that_was_cut_off_does_not_count(course):
    environment.prepare(root=course.folder)
    environment.stamp_file(course.folder).write_text('{"requirements.t')
    assert not environment.ready(root=course.folder)
    environment.prepare(root=course.folder)
    assert environment.ready(root=course.folder)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/here/.venv"),
            "/here/.venv cannot be written: copy the course",
        ),
        (OSError(errno.EROFS, "Read-only file system", "/here"), "/here cannot be written"),
        (
            OSError(errno.EIO, "Input/output error", "/here"),
            "Input/output error (/here): mend that",
        ),
    ],
)
def test_failures_of_the_file_system_end_in_a_sentence(monkeypatch, capsys, error, sentence):
    def fail(*_):
        raise error

    monkeypatch.setattr(environment, "prepare", fail)
    assert cli.main(["lab"]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root and Windows write into any folder"
)
def test_a_read_only_folder(course):
    course.folder.chmod(0o555)
    with pytest.raises(PermissionError):
        environment.prepare(root=course.folder)
    course.folder.chmod(0o755)
    environment.prepare(root=course.folder)


def test_where_python_is_on_each_system():
    assert (
        environment.venv_python(Path("c"), windows=True)
        == Path("c") / ".venv" / "Scripts" / "python.exe"
    )
    assert (
        environment.venv_python(Path("c"), windows=False) == Path("c") / ".venv" / "bin" / "python"
    )


def test_on_windows_the_command_runs_beside_and_gives_its_exit_code(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "WINDOWS", True)
    assert (
        environment.become(
            [sys.executable, "-c", "import os, sys; sys.exit(int(os.environ['CODE']))"],
            {"CODE": "7"},
            tmp_path,
        )
        == 7
    )


def test_requirement_lines_against_what_is_installed():
    import numpy

    assert environment.is_met("numpy>=1.0")
    assert environment.is_met(f"numpy=={numpy.__version__}")
    assert environment.is_met("numpy")
    assert not environment.is_met("numpy>=999.1")
    assert not environment.is_met("numpy==0.1")
    assert not environment.is_met("no-such-package-at-all")


# ---- which Python ----
@pytest.mark.parametrize("version", [(2, 7), (3, 8), (3, 10), (3, 14), (4, 0)])
def test_a_python_that_is_too_old_or_too_new_gets_a_sentence(version):
    assert "Install one of these" in python_problem(version)


def test_the_right_pythons_get_none():
    assert not any(python_problem(version) for version in [(3, 11), (3, 12), (3, 13)])
    assert "32 bit" in python_problem((3, 12), is_64bit=False)


def test_an_old_python_can_read_the_entrance():
    for name in ("__init__.py", "__main__.py"):
        source = (ROOT / "helpers" / name).read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 4))
        assert source.isascii()  # Python 2 refuses other letters without a declaration
    old = shutil.which("python2.7") or shutil.which("python2")
    if old and subprocess.run([old, "-c", "pass"], capture_output=True).returncode == 0:
        done = subprocess.run(
            [old, "-m", "helpers", "lab"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "this is Python 2.7" in done.stderr


# ---- the commands ----
@pytest.fixture
def becomes(monkeypatch):
    """Catches what a command would turn into: [command, extra environment]."""
    caught = []
    monkeypatch.setattr(environment, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(
        environment,
        "become",
        lambda command, env=None, root=None: caught.extend([command, env]) or 0,
    )
    return caught


def test_every_command_goes_on_inside_venv(becomes, monkeypatch):
    monkeypatch.setattr(environment, "inside", lambda: False)
    monkeypatch.setattr(environment, "ready", lambda: True)
    monkeypatch.delenv("COURSE_INSIDE_VENV", raising=False)
    for name in cli.COMMANDS:
        becomes.clear()
        with pytest.raises(SystemExit):
            cli.dispatch([name, "word"])
        assert becomes[0] == [str(environment.venv_python()), "-m", "helpers", name, "word"]


def test_a_venv_that_leads_nowhere_does_not_turn_in_circles(becomes, monkeypatch, capsys):
    monkeypatch.setattr(environment, "inside", lambda: False)
    monkeypatch.setenv("COURSE_INSIDE_VENV", "1")
    assert cli.main(["lab"]) == 1
    assert "delete this folder" in capsys.readouterr().err


def test_an_unknown_command_names_the_nearest(capsys):
    assert cli.main(["lba"]) == 1
    assert "did you mean `lab`?" in capsys.readouterr().err
    assert cli.main(["zzzz"]) == 1
    assert "lists them" in capsys.readouterr().err
    assert cli.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in cli.COMMANDS)


def test_here_names_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(environment, "unmet", lambda file: ["torch>=2.9"])
    assert cli.main(["lab", "--here"]) == 1
    said = capsys.readouterr().err
    assert "This Python lacks torch>=2.9" in said
    assert "-m pip install -r requirements.txt" in said


def test_lab_without_a_display_prints_the_address(becomes, monkeypatch, capsys):
    monkeypatch.setattr(cli, "has_display", lambda: False)
    monkeypatch.setattr(environment, "unmet", lambda file: [])
    assert cli.main(["lab", "--here"]) == 0
    command, env = becomes
    said = capsys.readouterr().out
    assert "Open in a browser: http://localhost:" in said
    assert env["JUPYTER_TOKEN"] in said
    assert "--no-browser" in command
    assert ("--allow-root" in command) == (hasattr(os, "geteuid") and os.geteuid() == 0)


def test_lab_asks_nothing_of_the_web(becomes):
    cli.lab([])
    command, env = becomes
    assert "--LabApp.news_url=None" in command
    assert any("NeverCheckForUpdate" in word for word in command)
    settings = (
        Path(env["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
        / "labconfig"
        / "default_setting_overrides.json"
    )
    assert '"fetchNews": "false"' in settings.read_text()


def test_a_port_in_use(becomes, monkeypatch, capsys):
    with socket.socket() as other:
        other.bind(("localhost", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            Stop, match=f"Port {port} is in use: close the program .* or choose another"
        ):
            cli.lab(["--port", str(port)])
        monkeypatch.setattr(cli, "FIRST_PORT", port)
        cli.lab([])  # no port asked for: the next free one
        assert f"--port={port}" not in becomes[0]
    becomes.clear()
    cli.lab(["--port", str(port)])  # a second call, the port free again
    assert f"--port={port}" in becomes[0]


def test_a_lesson_that_is_not_there(becomes):
    with pytest.raises(Stop, match="There is no lesson 77: they are 00 to 11"):
        cli.lab(["77"])


# ---- the test command ----
def test_the_tests_run_at_small_scale_without_a_network(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **options: (
            seen.update(options["env"]) or subprocess.CompletedProcess([], 0)
        ),
    )
    monkeypatch.setenv("COURSE_SCALE", "full")
    cli.run_pytest([])
    assert (
        seen["COURSE_SCALE"],
        seen["COURSE_SOURCE"],
        seen["COURSE_TEST"],
        seen["OMP_NUM_THREADS"],
    ) == ("small", "packaged", "1", "2")


def test_a_missing_browser_is_a_failure_in_ci_only(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_browser", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    assert list(cli.phases(with_llm=False)) == ["units", "notebooks"]
    assert "left out: no chromium is found" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Stop, match="No chromium is found"):
        cli.phases(with_llm=False)
    monkeypatch.setattr(cli, "find_browser", lambda: "/usr/bin/chromium")
    assert list(cli.phases(with_llm=True)) == ["units", "notebooks", "browser", "language model"]


def write_tests(folder, **functions):
    for name, body in functions.items():
        (folder / f"test_{name}.py").write_text(f"def test_{name}():\n    {body}\n")
    light = ["-q", "-p", "no:nbval", "-p", "no:pytest_cov"]  # plug-ins that take seconds to import
    return {name: [str(folder / f"test_{name}.py"), *light] for name in functions}


def test_the_parts_are_counted_and_the_first_failure_stops(tmp_path, capfd):
    parts = write_tests(tmp_path, good="assert True", bad="assert False", late="assert True")
    assert cli.run_phases({"good": parts["good"], "late": parts["late"]}, keep_going=False) == 0
    assert capfd.readouterr().out.rstrip().endswith("2 passed, 0 failed, 0 skipped")
    assert cli.run_phases(parts, keep_going=False) == 1
    said = capfd.readouterr().out
    assert "Not run because of this: late" in said
    assert said.rstrip().endswith("1 passed, 1 failed, 0 skipped")
    assert cli.run_phases(parts, keep_going=True) == 1
    assert capfd.readouterr().out.rstrip().endswith("2 passed, 1 failed, 0 skipped")


def test_a_part_that_runs_nothing_is_a_failure(tmp_path):
    parts = write_tests(tmp_path, nothing="import pytest; pytest.skip('no reason')")
    assert cli.run_phases(parts, keep_going=False) == 1
    assert (
        cli.run_phases(
            {"gone": [str(tmp_path / "test_gone.py"), *parts["nothing"][1:]]}, keep_going=False
        )
        == 1
    )
