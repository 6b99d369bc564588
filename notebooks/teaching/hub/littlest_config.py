"""One server for a room: The Littlest JupyterHub. Nobody has run it."""

import sys
from pathlib import Path

from tljh import user
from tljh.normalize import generate_system_username

sys.path.insert(0, "/srv/interpretability/notebooks/teaching/hub")
import room

c = get_config()  # noqa: F821


def prepare(spawner) -> None:
    """The account, as the hub's own spawner makes it; then its private class folder."""
    account = generate_system_username(f"jupyter-{spawner.user.name}")
    user.ensure_user(account)
    Path(f"/home/{account}").chmod(0o700)
    room.make_folder(spawner.user.name, account, "jupyterhub-admins")


room.settle(c, Path("/opt/tljh/user/bin/python"))
c.Spawner.pre_spawn_hook = prepare
