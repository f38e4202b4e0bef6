"""Peers of the live road: a consumer per socket under uvicorn, nginx with nchan, and socket.io.

The latter are fetched once into a folder of their own, without root; where that cannot be,
`Missing` says why.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.live_stand import Stand, serving
from benchmarks.stand import ROOT, Missing, say

NCHAN = "nginx with nchan"
NCHAN_FOLDER = ROOT / ".peer-nchan"
NCHAN_PACKAGES = ("nginx", "libnginx-mod-nchan")  # Debian's
NCHAN_PATH = "/ws"

SOCKET_IO = "socket.io"
SOCKET_IO_FOLDER = ROOT / ".peer-socketio"
SOCKET_IO_VERSION = "4.8.4"
SOCKET_IO_PATH = "/socket.io/?EIO=4&transport=websocket"

UVICORN = "a consumer per socket, uvicorn"
PEER_APPLICATION = "benchmarks.peers.consumer_per_socket:application"

PUBLISH = "/publish"  # where both take what is to be sent to all, by POST

NGINX_CONF = """
{load} user root; worker_processes 1; daemon off; master_process off; worker_rlimit_nofile 20000;
pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 18000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600; tcp_nodelay on;
    nchan_shared_memory_size 256M; client_body_buffer_size 64k;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location {path} {{
            nchan_subscriber websocket; nchan_channel_id all; nchan_subscriber_first_message newest;
            nchan_websocket_ping_interval 0;
        }}
        location {publish} {{
            nchan_publisher http; nchan_channel_id all; nchan_message_timeout 5s;
            nchan_message_buffer_length 50;
        }}
    }}
}}
"""


#: nchan insists on making a folder in /var/lib/nginx, which only the installed package brings; here
#: the server has a /var/lib that nobody else sees.
IN_A_VAR_OF_ITS_OWN = (
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs none /var/lib && mkdir /var/lib/nginx && exec "$0" "$@"',
)


@contextlib.contextmanager
def under_uvicorn(stand: Stand, port: int) -> Iterator[int]:
    """A consumer per socket, each user with a group, under the server that is ours too, set up
    alike; its process id."""
    command = ["-m", "uvicorn", PEER_APPLICATION, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--ws", "websockets-sansio", "--ws-per-message-deflate", "false"]
    command += ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
    command += ["--no-access-log", "--log-level", "warning"]
    groups = {"HUB_PEER_GROUPS": "users"}
    with serving(command, port, stand.log, environment=groups) as pid:
        yield pid


@contextlib.contextmanager
def nchan(stand: Stand, port: int) -> Iterator[int]:
    """nginx with nchan on the server's core; its process id. It has no tokens to look at."""
    nginx, module = nchan_programs()
    folder = stand.folder / "nginx"
    folder.mkdir(exist_ok=True)
    conf = folder / "nginx.conf"
    load = f"load_module {module};" if module else ""
    conf.write_text(
        NGINX_CONF.format(
            load=load, folder=folder, port=port, path=NCHAN_PATH, publish=PUBLISH
        ).lstrip()
    )
    command = [str(nginx), "-e", "stderr", "-p", str(folder), "-c", str(conf)]
    if nginx.is_relative_to(NCHAN_FOLDER):
        command = [*IN_A_VAR_OF_ITS_OWN, *command]
    with serving(command[1:], port, stand.log, program=command[0]) as pid:
        yield pid


def nchan_programs() -> tuple[Path, Path | None]:
    """nginx, and the module to load: of this machine, or unpacked from Debian's packages."""
    on_path = shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
    for folder in (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules")):
        module = folder / "ngx_nchan_module.so"
        if on_path and module.exists():
            return Path(on_path), module
    nginx = NCHAN_FOLDER / "usr/sbin/nginx"
    module = NCHAN_FOLDER / "usr/lib/nginx/modules/ngx_nchan_module.so"
    if not (nginx.exists() and module.exists()):
        _unpack(NCHAN_FOLDER, NCHAN_PACKAGES)
    if not (nginx.exists() and module.exists()):
        raise Missing("Debian's packages of nginx and nchan are not as they were")
    return nginx, module


def nchan_versions() -> dict[str, str]:
    nginx, _ = nchan_programs()
    told = subprocess.run([str(nginx), "-v"], capture_output=True, text=True, check=True)
    return {"nginx": told.stderr.rpartition("/")[2].strip(), "nchan": _nchan_version()}


def _nchan_version() -> str:
    for package in NCHAN_FOLDER.glob("libnginx-mod-nchan_*.deb"):
        return package.name.split("_")[1].replace("%3a", ":")
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout or "?"


def _unpack(folder: Path, packages: tuple[str, ...]) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise Missing("there is no nginx with nchan, and no Debian to fetch it from")
    say(f"fetching {', '.join(packages)} (once) ...")
    folder.mkdir(exist_ok=True)
    fetched = subprocess.run(
        ["apt-get", "download", "-qq", *packages],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode:
        raise Missing("Debian's packages of nginx and nchan cannot be fetched (apt-get update?)")
    if subprocess.run([*IN_A_VAR_OF_ITS_OWN, "true"], capture_output=True, check=False).returncode:
        raise Missing("the unpacked nginx needs a mount of its own, which is not allowed here")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)


@contextlib.contextmanager
def socket_io(stand: Stand, port: int) -> Iterator[int]:
    """A socket.io server that looks at the same tokens, on the server's core; its process id."""
    node = socket_io_program()
    command = [str(ROOT / "benchmarks/peers/socketio_server.js"), str(port), str(stand.tokens)]
    modules = {"NODE_PATH": str(SOCKET_IO_FOLDER / "node_modules"), "NODE_ENV": "production"}
    with serving(command, port, stand.log, program=node, environment=modules) as pid:
        yield pid


def socket_io_program() -> str:
    """node, with socket.io installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("there is no Node.js (node and npm)")
    ready = SOCKET_IO_FOLDER / "ready"
    if not ready.exists() or ready.read_text() != SOCKET_IO_VERSION:
        say("installing socket.io (once) ...")
        SOCKET_IO_FOLDER.mkdir(exist_ok=True)
        install = [npm, "install", "--prefix", str(SOCKET_IO_FOLDER), "--no-audit", "--no-fund"]
        done = subprocess.run(
            [*install, "--ignore-scripts", f"socket.io@{SOCKET_IO_VERSION}"],
            cwd=SOCKET_IO_FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Missing("socket.io cannot be installed from the npm registry")
        ready.write_text(SOCKET_IO_VERSION)
    return node


def socket_io_versions() -> dict[str, str]:
    told = subprocess.run(
        [socket_io_program(), "--version"], capture_output=True, text=True, check=True
    )
    return {"socket.io": SOCKET_IO_VERSION, "Node.js": told.stdout.strip().removeprefix("v")}
