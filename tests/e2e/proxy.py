"""A real nginx that runs `petsage deploy nginx`, with ports and paths substituted."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import PETSAGE, free_port, get, running, tool, wait_until

_MAIN = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/petsage.conf;
}}
"""


def site(port: int, folder: Path, upstreams: list[str]) -> str:
    """The printed site, on `port`, in front of these servers (`host:port`, `unix:PATH`)."""
    text = subprocess.check_output([PETSAGE, "deploy", "nginx"], text=True)
    servers = "\n".join(f"    server {upstream} max_fails=0;" for upstream in upstreams)
    for pattern, replacement in (
        (r"(?m)^    server 127.0.0.1:8000 max_fails=0;$", servers),
        (r"listen 80;", f"listen 127.0.0.1:{port};"),
        (r"listen \[::\]:80;", f"listen [::1]:{port};"),
        (r"/var/log/nginx/petsage.log", f"{folder}/access.log"),
    ):
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, pattern
    return text


@contextmanager
def nginx(folder: Path, *upstreams: str, also: tuple[tuple[str, str], ...] = ()) -> Iterator[str]:
    """Runs nginx in front of these upstreams; yields its base URL. `also`: more substitutions."""
    program = tool("nginx")
    port = free_port()
    text = site(port, folder, list(upstreams))
    for old, new in also:
        assert old in text, old
        text = text.replace(old, new)
    folder.chmod(0o755)
    (folder / "petsage.conf").write_text(text)
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder))
    command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
    subprocess.run([*command, "-t", "-q"], check=True)
    with running(command, signal.SIGTERM):
        wait_until(lambda: get(f"http://127.0.0.1:{port}/").status == 404)
        yield f"http://127.0.0.1:{port}"
