"""Starts a student's server, as this student: own lessons, a limit of memory."""

import os
import resource
import shutil
import sys
from pathlib import Path

COURSE = Path(__file__).resolve().parents[3]
LESSONS = Path.home() / "lessons"

LESSONS.mkdir(exist_ok=True)
if not (LESSONS / "course").is_symlink():  # where the set-up cell finds the shared copy
    (LESSONS / "course").symlink_to(COURSE)
shutil.copytree(COURSE / "notebooks/pictures", LESSONS / "pictures", dirs_exist_ok=True)
for page in COURSE.glob("notebooks/*"):
    if page.suffix in (".ipynb", ".md") and not (LESSONS / page.name).exists():
        shutil.copyfile(page, LESSONS / page.name)  # once: what a student writes stays

if limit := int(os.environ.get("MEM_LIMIT", 0)):  # a kernel's; then a MemoryError
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
os.umask(0o027)
server = Path(sys.executable).with_name("jupyterhub-singleuser")
os.execv(server, [str(server), *sys.argv[1:]])
