"""One server for a room, plain JupyterHub: `jupyterhub -f THIS FILE`, as root."""

import pwd
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import room

c = get_config()  # noqa: F821
STATE = Path("/srv/hub")  # passwords and cookies: root's alone
TEACHERS = room.TEACHER  # a group of this name comes with the account


def account(name: str) -> None:
    """An account with a private home, made when a seat or the teacher first comes."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        make = ["useradd", "--create-home", "--user-group", "--shell=/bin/bash"]
        subprocess.run([*make, "--key=HOME_MODE=0700", name], check=True)


def prepare(spawner) -> None:
    account(spawner.user.name)
    room.make_folder(spawner.user.name, spawner.user.name, TEACHERS)


STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
account(room.TEACHER)
room.settle(c, Path(sys.executable))
c.Spawner.pre_spawn_hook = prepare
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
c.FirstUseAuthenticator.dbm_path = str(STATE / "passwords")
c.JupyterHub.db_url = f"sqlite:///{STATE}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")
culler = "idle-culler"  # ends the servers of those who have gone
rights = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
call = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={room.IDLE}"]
c.JupyterHub.services = [{"name": culler, "command": call}]
c.JupyterHub.load_roles = [{"name": culler, "scopes": rights, "services": [culler]}]
