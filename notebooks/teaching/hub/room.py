"""What both servers share: seats, no names; a private class folder a seat; limits.

The configurations in this folder import it. The hub runs it as root.
"""

import os
import shutil
from pathlib import Path

HUB = Path(__file__).resolve().parent
COURSE = HUB.parents[2]  # the one copy: root writes it, students read it
CLASS = Path("/srv/class")  # a folder a seat, and the teacher reads them all
SEATS = {f"seat{number:02}" for number in range(1, 41)}  # what students log in as
TEACHER = "teacher"
MEMORY = "4G"  # the most a student may take: a lesson stays below it
IDLE = 30 * 60  # seconds: a kernel or a server that does nothing for so long is ended


def settle(c, python: Path) -> None:
    """Sets what both servers have in common; python: the shared environment's."""
    c.Authenticator.allowed_users = SEATS | {TEACHER}
    c.Authenticator.admin_users = {TEACHER}
    c.Spawner.cmd = [str(python), str(HUB / "seat.py")]
    c.Spawner.args = [
        "--KernelManager.transport=ipc",  # thirty took one another's TCP ports
        f"--MappingKernelManager.cull_idle_timeout={IDLE}",
        "--MappingKernelManager.cull_connected=True",
        "--MappingKernelManager.cull_interval=60",
        "--MappingKernelManager.kernel_info_timeout=600",  # thirty start at a time
        "--ServerApp.root_dir=~/lessons",
    ]
    c.Spawner.default_url = "/lab/tree/00_start_here.ipynb"
    c.Spawner.mem_limit = MEMORY
    c.Spawner.start_timeout = c.Spawner.http_timeout = 600  # the same
    c.Spawner.environment = {
        "COURSE_CLASS": lambda spawner: str(folder_of(spawner.user.name)),
        "COURSE_DEVICE": "cpu",  # a GPU would be shared by thirty
        "COURSE_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "JUPYTER_CONFIG_PATH": str(COURSE / "helpers/jupyter"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def folder_of(seat: str) -> Path:
    """The folder where a seat's answers go; the teacher's holds all the others."""
    return CLASS if seat == TEACHER else CLASS / seat


def make_folder(seat: str, account: str, teachers: str) -> None:
    """A seat's folder: its account writes, the group `teachers` reads, no other."""
    CLASS.mkdir(parents=True, exist_ok=True)
    shutil.chown(CLASS, "root", teachers)
    CLASS.chmod(0o2771)  # others may pass through it, and do not see what is in it
    folder = folder_of(seat)
    if folder != CLASS:
        folder.mkdir(exist_ok=True)
        shutil.chown(folder, account, teachers)
        os.chmod(folder, 0o2750)  # what is made in it has its group
