"""The two commands of a newcomer, and everything that can go wrong on the way to them.

.venv is real here (made without packages); only pip is played, by a small program inside it that
fails in the ways pip does, or writes down what it was asked to install.
"""

import errno
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import packaging
import pytest

from helpers import cli
from helpers.__main__ import python_problem
from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from tests import command

MADE_WITH = """
import os, shutil, sys, sysconfig, venv
venv.create(sys.argv[1], symlinks=os.name != "nt")
site = sysconfig.get_path("purelib", vars={"base": sys.argv[1]})
shutil.copytree(os.environ["PLAYED"] + "/pip", site + "/pip")
"""
PIP = """
import os, pathlib, re, shutil, sys, time
log = sys.argv[sys.argv.index("--log") + 1]
mood = os.environ.get("MOOD", "well")
with open(os.environ["PIP_CACHE_CALLS"], "a") as calls:
    print(sys.argv, sorted(os.environ), file=calls)
if mood == "slow":
    time.sleep(20)
if mood not in ("well", "elsewhere") or sys.argv[-1] == "withdrawn==1.0":
    with open(log, "w") as file:
        file.write(mood)
    sys.exit(1)
site = pathlib.Path(__file__).parents[1]
if mood == "well" and "-r" in sys.argv:
    shutil.copytree(os.environ["PACKAGING"], site / "packaging", dirs_exist_ok=True)
    for file in sys.argv[sys.argv.index("-r") + 1 :: 2]:
        for name, version in re.findall(r"^([\\w-]+)>?=?=?(.*)", open(file).read(), flags=re.M):
            record = site / f"{name}-{version or 1}.dist-info"
            record.mkdir(exist_ok=True)
            (record / "METADATA").write_text(f"Name: {name}\\nVersion: {version or 1}\\n")
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """`helpers.cli` of a copy of the course with short requirements and no .venv. `cli.calls()` are
    the words and the variables that pip got."""
    played, root = tmp_path / "played" / "pip", tmp_path / "course"
    played.mkdir(parents=True)
    (played / "__init__.py").write_text("")
    (played / "__main__.py").write_text(PIP)
    (tmp_path / "make_venv.py").write_text(MADE_WITH)
    (root / "helpers" / "ground").mkdir(parents=True)
    for name in ("", "__main__", "cli", "ground/", "ground/errors", "ground/colab"):
        file = f"helpers/{name}{'' if name[-1:] not in ('', '/') else '__init__'}.py"
        shutil.copy(ROOT / file, root / file)
    shutil.copy(ROOT / "helpers" / "pip_says.tsv", root / "helpers")
    (root / "tests").mkdir()
    (root / "requirements.txt").write_text("torch>=2.9\n")
    (root / "tests" / "requirements.txt").write_text("captum\n")
    for name, value in {
        "PLAYED": played.parent,
        "PACKAGING": Path(packaging.__file__).parent,
        "PIP_CACHE_CALLS": tmp_path / "calls",
    }.items():
        monkeypatch.setenv(name, str(value))

    def load(folder=root):
        spec = importlib.util.spec_from_file_location("course_cli", folder / "helpers" / "cli.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.NEEDED_GB, module.MAKE_VENV = 0, [str(tmp_path / "make_venv.py")]
        calls = tmp_path / "calls"
        module.calls = lambda: calls.read_text().splitlines() if calls.exists() else []
        return module

    module = load()
    module.load = load
    return module


def fails(course, words, *arguments):
    with pytest.raises(CourseError, match=words):
        course.prepare(*arguments)


# ---- .venv
def test_only_what_the_requirements_ask_for_anew_is_installed(course):
    for _ in range(2):
        course.prepare()
    assert course.ready()
    assert len(course.calls()) == 1
    requirements = course.ROOT / "requirements.txt"
    assert str(requirements) in course.calls()[0]
    requirements.write_bytes(b"# why\r\ntorch>=2.9   # because\r\n")
    assert course.ready()  # comments and line ends do not count
    requirements.write_text("torch>=2.10\n")
    course.prepare()
    course.prepare(course.TESTS)  # these need more than the lab, and the lab no more afterwards
    course.prepare()
    assert ["tests" in call for call in course.calls()] == [False, False, True]


def test_the_networks_come_one_by_one_without_what_they_ask_for(course, capsys):
    (course.ROOT / course.NETWORKS).write_text("# why\nnetwork==0.1\nwithdrawn==1.0\nother>=2\n")
    course.prepare()
    assert course.ready()  # the set-up goes on
    words = [call.partition("]")[0] for call in course.calls()]
    assert [
        f"'--no-deps', '{line}'" in call
        for line, call in zip(
            ("network==0.1", "withdrawn==1.0", "other>=2"), words[1:], strict=True
        )
    ] == [True] * 3
    printed = capsys.readouterr().out
    assert "withdrawn==1.0 is left out: " in printed
    assert "Lessons that use it show stored pictures" in printed
    assert "network==0.1 is left out" not in printed


def test_a_killed_installation_is_made_anew(course, monkeypatch):
    monkeypatch.setenv("MOOD", "slow")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from helpers import cli; cli.NEEDED_GB = 0; "
        "cli.MAKE_VENV = [sys.argv[2]]; cli.prepare()"
    )
    child = subprocess.Popen([sys.executable, "-c", code, course.ROOT, *course.MAKE_VENV])
    while not course.calls():
        assert child.poll() is None
        time.sleep(0.05)
    fails(course, "Another window installs")  # a second call while the first is at work
    child.kill()
    child.wait()
    left = course.VENV / "half-a-package"
    left.write_text("")
    assert not course.ready()
    monkeypatch.setenv("MOOD", "well")
    course.prepare()
    assert course.ready()
    assert not left.exists()
    assert not list(course.ROOT.glob(".venv-old*"))


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            "WARNING: Retrying ... NewConnectionError ...\nERROR: No matching distribution found "
            "for torch\nresolvers.ResolutionImpossible",  # what pip 23 logs without a connection
            "download broke off: check the connection .* then call this again",
        ),
        (
            "OSError: [Errno 28] No space left on device",
            "The disk is full.* call this again",
        ),
        ("OSError: [Errno 122] Disk quota exceeded", "or your share of it"),
        (
            "Retrying ... Tunnel connection failed: 407 Proxy Authentication Required",
            "HTTPS_PROXY",
        ),
        (
            "Retrying ... [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
            "PIP_CERT",
        ),
        (
            "ERROR: HTTP error 403 while getting https://…",
            r"refuses this download \(403\)",
        ),
        (
            "OSError: …\nHINT: … Windows Long Path support enabled",
            "move the course to a short one",
        ),
        ("[WinError 32] The process cannot access the file …", "close it, .* OneDrive"),
        (
            "WARNING: Retrying ... Read timed out\nERROR: Cannot install a and b, they conflict",
            "Cannot install a and b, they conflict.*call this again",
        ),
        ("ERROR: something new", r"pip failed \(something new\)"),
    ],
)
def test_a_failure_of_pip_ends_in_the_sentence_for_its_cause(course, monkeypatch, log, sentence):
    monkeypatch.setenv("MOOD", log)
    fails(course, sentence)
    monkeypatch.setenv("MOOD", "well")
    course.prepare()
    assert course.ready()


def test_only_a_failure_while_installing_costs_what_was_there(course, monkeypatch):
    course.prepare()
    there = course.VENV / "there"
    there.write_text("")
    (course.ROOT / "requirements.txt").write_text("torch>=2.10\n")
    for log, kept in (
        ("Retrying", True),
        ("Installing collected packages: torch\nErrno 28", False),
    ):
        monkeypatch.setenv("MOOD", log)
        fails(course, "call this again")
        monkeypatch.setenv("MOOD", "Retrying")
        fails(course, "broke off")
        assert there.exists() == kept


def test_what_pip_says_it_installed_is_looked_for(course, monkeypatch):
    monkeypatch.setenv("MOOD", "elsewhere")
    fails(
        course,
        r"pip ended well, yet .venv lacks torch>=2.9: .* `python -m pip config list`",
    )
    assert not course.ready()


def test_pip_python_and_jupyter_get_none_of_the_settings_that_lead_elsewhere(course, monkeypatch):
    bad = [
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_DRY_RUN",
        "PIP_NO_DEPS",
        "PYTHONPATH",
        "PYTHONHOME",
    ]
    bad += ["PYTHONWARNINGS", "PYTHONSAFEPATH", "PYTHONOPTIMIZE", "JUPYTER_CONFIG_DIR"]
    good = [
        "PIP_INDEX_URL",
        "PIP_CERT",
        "PIP_PROXY",
        "PIP_FIND_LINKS",
        "JUPYTER_TOKEN",
        "HOME",
    ]
    for name in [*bad, *good, "PIP_USER"]:
        monkeypatch.setenv(name, "1")
    clean = course.clean()
    assert not set(bad) & set(clean)
    assert set(good) <= set(clean)
    course.prepare()
    assert not [name for name in bad if f"'{name}'" in course.calls()[0]]


def test_too_little_disk_is_said_before_anything_is_fetched(course):
    course.NEEDED_GB = 10**9
    fails(course, "Installing needs 1000000000 GB of free disk")
    assert not course.calls()
    assert not course.VENV.exists()


@pytest.mark.parametrize("damage", ["no python", "no pip", "stamp cut off"])
def test_an_unusable_venv_of_the_course_is_made_anew(course, damage):
    course.prepare()
    if damage == "stamp cut off":
        course.STAMP.write_text('{"requirements.t')
    else:
        course.STAMP.write_text("{}")
        shutil.rmtree(
            course.PYTHON.parent
            if damage == "no python"
            else next(course.VENV.rglob("site-packages")) / "pip"
        )
    assert not course.ready()
    course.prepare()
    assert course.ready()


@pytest.mark.parametrize("what", ["a file", "a link", "a foreign environment", "an empty folder"])
def test_what_the_course_did_not_make_stays_as_it_is(course, tmp_path, what):
    if what == "a file":
        course.VENV.write_text("theirs")
    elif what == "a link":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "course.json").write_text("{}")
        course.VENV.symlink_to(tmp_path / "elsewhere")
    else:
        (course.VENV / "bin").mkdir(parents=True)
        if what == "a foreign environment":  # uv's has a Python and no pip
            course.PYTHON.symlink_to(sys.executable)
    before = sorted(course.VENV.rglob("*"))
    for _ in range(2):
        fails(course, "was not made by the course and stays as it is: move or rename it")
    assert os.path.lexists(course.VENV)
    assert sorted(course.VENV.rglob("*")) == before
    assert not course.calls()


def test_a_venv_in_use_is_not_pulled_away(course, monkeypatch):
    course.prepare()
    course.STAMP.write_text("")
    monkeypatch.setattr(course, "inside", lambda: True)
    fails(course, "is in use: type `deactivate`")
    assert course.PYTHON.exists()


def test_a_folder_with_a_colon(course):
    folder = course.ROOT.rename(course.ROOT.with_name(f"AI{os.pathsep}ML"))
    fails(course.load(folder), f"has no `{os.pathsep}` .Finder shows it as `/`")


def test_a_python_that_cannot_make_environments(course, monkeypatch, tmp_path):
    (tmp_path / "no_ensurepip.py").write_text("import sys; sys.exit('ensurepip is not available')")
    monkeypatch.setattr(course, "MAKE_VENV", [str(tmp_path / "no_ensurepip.py")])
    fails(course, r"ensurepip is not available\).* `sudo apt install python3-venv`")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="root and Windows write into any folder",
)
def test_a_read_only_folder(course):
    course.ROOT.chmod(0o555)
    with pytest.raises(PermissionError):
        course.prepare()
    course.ROOT.chmod(0o755)
    course.prepare()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            "/x cannot be written: copy the",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/here"),
            "/here cannot be written",
        ),
        (
            OSError(errno.EIO, "Input/output error", "/here"),
            "Input/output error (/here): mend it",
        ),
        (KeyboardInterrupt(), "Stopped. Call the same command again"),
    ],
)
def test_failures_of_the_system_end_in_a_sentence(monkeypatch, capsys, error, sentence):
    def fail(*_):
        raise error

    monkeypatch.setattr(cli, "prepare", fail)
    assert cli.main(["lab"]) == 1
    assert sentence in capsys.readouterr().err


def test_on_windows_the_command_runs_beside_and_gives_its_exit_code(monkeypatch):
    monkeypatch.setattr(cli, "WINDOWS", True)
    code = "import os, sys; sys.exit(int(os.environ['CODE']))"
    assert cli.become([sys.executable, "-c", code], {"CODE": "7"}) == 7


# ---- which Python, and from where
def test_a_python_that_is_too_old_or_too_new_gets_a_sentence():
    for version in ((2, 7), (3, 8), (3, 10), (3, 14), (4, 0)):
        assert "Install one of these" in python_problem(version)
    assert not any(python_problem(version) for version in [(3, 11), (3, 12), (3, 13)])
    assert "32 bit" in python_problem((3, 12), is_64bit=False)


def test_an_old_python_can_read_the_entrance():
    import ast

    for name in ("__init__.py", "__main__.py"):
        source = (ROOT / "helpers" / name).read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 4))
        assert source.isascii()  # Python 2 refuses other letters without a declaration
    old = shutil.which("python2.7") or shutil.which("python2")
    if old and subprocess.run([old, "-c", "pass"], capture_output=True).returncode == 0:
        done = call([old, "-m", "helpers", "lab"])
        assert done.returncode == 1
        assert "this is Python 2.7" in done.stderr


def call(command, cwd=ROOT, **env):
    env = {**os.environ, **env}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env)


def test_it_can_be_called_from_another_folder_beside_other_packages(tmp_path):
    """The path begins with helpers/ then; PYTHONPATH has a `helpers` and a `json` of its own."""
    (tmp_path / "helpers").mkdir()
    for name in ("helpers/__init__.py", "json.py", "argparse.py"):
        (tmp_path / name).write_text("raise ImportError('another package of this name')")
    settings = {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    done = call(
        [sys.executable, os.path.relpath(ROOT / "helpers", tmp_path)],
        tmp_path,
        **settings,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "opens the course" in done.stdout


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_needs_nothing_installed(command):
    """-S: no site-packages, as on a newcomer's machine."""
    done = call([sys.executable, "-S", "-m", "helpers", command, "--help", "--here"])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python -m helpers {command}" in done.stdout


def test_the_front_door_is_slim():
    files = [ROOT / "helpers" / name for name in ("__main__.py", "cli.py", "doctor.py")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) <= 400
    assert max(map(len, lines)) <= 100


# ---- the commands
@pytest.fixture
def becomes(monkeypatch):
    """Catches what a command would turn into: [command, extra environment]."""
    caught = []
    monkeypatch.setattr(cli, "prepare", lambda *_: None)
    monkeypatch.setattr(cli, "become", lambda command, env: caught.extend([command, env]) or 0)
    return caught


def test_every_command_goes_on_inside_venv_and_not_in_circles(becomes, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "inside", lambda: False)
    monkeypatch.setattr(cli, "PYTHON", tmp_path)
    monkeypatch.delenv("COURSE_INSIDE_VENV", raising=False)
    for name in cli.COMMANDS:
        becomes.clear()
        with pytest.raises(SystemExit):
            cli.dispatch([name, "word"])
        assert becomes[0] == [str(tmp_path), "-m", "helpers", name, "word"]
    monkeypatch.setenv(*becomes[1].popitem())
    with pytest.raises(CourseError, match="does not work: delete it"):
        cli.dispatch(["lab"])


def test_an_unknown_command_names_the_nearest(capsys):
    assert cli.main(["lba"]) == 1
    assert "did you mean `lab`?" in capsys.readouterr().err
    assert cli.main(["zzzz"]) == 1
    assert "lists them" in capsys.readouterr().err
    assert cli.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in cli.COMMANDS)


def test_here_names_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(cli, "unmet", lambda file: ["torch>=2.9"])
    assert cli.main(["lab", "--here"]) == 1
    printed = capsys.readouterr().err
    assert "This Python lacks torch>=2.9" in printed
    assert "-m pip install -r requirements.txt" in printed


def test_lab_without_a_display_prints_the_address(becomes, monkeypatch, capsys):
    monkeypatch.setattr(cli, "has_display", lambda: False)
    monkeypatch.setattr(cli, "unmet", lambda file: [])
    assert cli.main(["lab", "3", "--here"]) == 0
    command, env = becomes
    printed = capsys.readouterr().out
    assert re.search(r"Open in a browser: http://localhost:\d+/lab/tree/notebooks/03_", printed)
    assert env["JUPYTER_TOKEN"] in printed
    assert "--no-browser" in command


def test_jupyterlab_asks_nothing_of_the_web_and_does_not_read_the_persons_settings(
    tmp_path,
):
    """What it would run with, asked of Jupyter itself, in a home that has settings of its own."""
    (tmp_path / ".jupyter").mkdir()
    bad = '{"ServerApp": {"base_url": "/mine/", "preferred_dir": "/gone", "password": "x"}}'
    (tmp_path / ".jupyter" / "jupyter_server_config.json").write_text(bad)
    command = [*cli.lab_command("", 9999, "localhost", False), "--show-config"]
    env = {
        **cli.clean(),
        **cli.quiet_lab(),
        "HOME": str(tmp_path),
        "USERPROFILE": str(tmp_path),
    }
    seen = subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout
    assert "/mine/" not in seen
    assert "/gone" not in seen
    assert "base_url = '/'" in seen.replace('"', "'")
    assert "NeverCheckForUpdate" in seen
    assert re.search(r"news_url = (None|null)", seen)
    ours = Path(cli.quiet_lab()["JUPYTER_CONFIG_PATH"]) / "labconfig"
    assert '"fetchNews": "false"' in (ours / "default_setting_overrides.json").read_text()


def test_a_port_in_use(becomes, monkeypatch):
    with socket.create_server(("localhost", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CourseError, match=f"Port {port} is in use: close .* `--port 9000`"):
            cli.lab(["--port", str(port)])
        monkeypatch.setattr(cli, "FIRST_PORT", port)
        cli.lab([])  # no port asked for: the next free one
        assert f"--port={port}" not in becomes[0]
    becomes.clear()
    cli.lab(["--port", str(port)])  # a second call, the port free again
    assert f"--port={port}" in becomes[0]


def test_a_lesson_that_is_not_there(becomes):
    with pytest.raises(CourseError, match="There is no lesson 77, only 00, 01, "):
        cli.lab(["77"])


# ---- the test command
def test_chosen_tests_run_at_small_scale_without_a_network(monkeypatch):
    seen, done = {}, subprocess.CompletedProcess([], 3)

    def run(command, cwd, env):
        seen.update(env, command=command[1:])
        return done

    monkeypatch.setattr(command.subprocess, "run", run)
    monkeypatch.setenv("COURSE_SCALE", "full")
    assert command.test(["--as-is", "tests/test_cli.py", "-k", "port"]) == 3
    assert seen["command"] == ["-m", "pytest", "tests/test_cli.py", "-k", "port"]
    expected = {
        "COURSE_SCALE": "small",
        "COURSE_SOURCE": "packaged",
        "COURSE_TEST": "1",
    }
    expected |= {"OMP_NUM_THREADS": "1", "COURSE_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    assert expected.items() <= seen.items()


def test_what_is_committed_is_tested_and_a_used_folder_left_alone(tmp_path, monkeypatch):
    git = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
    ]
    lesson, answer = tmp_path / "lesson.ipynb", tmp_path / "class" / "answers.jsonl"
    lesson.write_text("as committed")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a lesson"]):
        subprocess.run([*git, *words], check=True)
    lesson.write_text("run and saved")
    answer.parent.mkdir()
    answer.write_text("mine")
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    with command.committed() as copy:
        assert (copy / "lesson.ipynb").read_text() == "as committed"
        assert not (copy / "class").exists()
    assert (lesson.read_text(), answer.read_text()) == ("run and saved", "mine")
    assert not copy.exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["style", "units", "notebooks", "browser"]),
        (
            ["--long", "--with-llm"],
            ["style", "units", "notebooks", "browser", "long", "llm"],
        ),
    ],
)
def test_the_parts_and_what_they_run(monkeypatch, options, expected):
    seen, installed = {}, []
    monkeypatch.setattr(command, "run_parts", lambda parts, *_: seen.update(parts) or 0)
    monkeypatch.setattr(cli, "pip", lambda *packages: installed.extend(packages))
    assert command.test(["--as-is", *options]) == 0
    assert list(seen) == expected
    assert (cli.ROOT / cli.NETWORKS in installed) == ("llm" in expected)
    for part, words in {
        "style": "ruff",
        "units": "pytest",
        "browser": "-m browser",
    }.items():
        assert all(words in command for command in seen[part])


def test_every_marker_belongs_to_a_part():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (units,) = tools["course"]["tests"]["units"]
    for marker in tools["pytest"]["ini_options"]["markers"]:
        name = marker.partition(":")[0]
        assert f"not {name}" in units
        assert name in tools["course"]["tests"]


def test_the_first_failure_stops_unless_asked_to_go_on(monkeypatch, capsys):
    ran, parts = [], {"good": ["a"], "bad": ["b 1", "b 2"], "late": ["c 'd e'"]}
    monkeypatch.setattr(command, "run_python", lambda words, *_: ran.append(words) or "1" in words)
    assert command.run_parts({"good": ["a"], "late": ["c"]}, keep_going=False) == 0
    assert capsys.readouterr().out.endswith("good: passed\nlate: passed\n")
    ran.clear()
    assert command.run_parts(parts, keep_going=False) == 1
    assert ran == [["a"], ["b", "1"], ["b", "2"]]
    printed = capsys.readouterr().out
    assert "good: passed\nbad: FAILED\nlate: not run because of this" in printed
    assert command.run_parts(parts, keep_going=True) == 1
    assert ran[-1] == ["c", "d e"]
    assert capsys.readouterr().out.endswith("bad: FAILED\nlate: passed\n")


def test_a_part_that_runs_nothing_is_a_failure(tmp_path):
    assert command.run_parts({"gone": [f"pytest -q {tmp_path} -p no:nbval"]}, keep_going=False) == 1


# ---- for real
@pytest.mark.long
def test_a_fresh_clone_installs_itself_from_another_folder(tmp_path):
    """With nothing played: minutes, and gigabytes of packages."""
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "course"], check=True)
    command = [
        sys._base_executable,
        "course/helpers",
        "test",
        "tests/test_readme.py",
        "-q",
    ]
    done = call(command, tmp_path, PIP_TARGET="x", PYTHONPATH="x", PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "course" / ".venv" / "course.json").stat().st_size > 100
