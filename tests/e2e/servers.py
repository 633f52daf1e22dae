"""Database servers for tests, each with its own folder and port; gone when the block ends."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import Files
from tests.support import free_port, running, tool, wait_until

HOST = "127.0.0.1"
ADMIN_PASSWORD = "4dmin-password"


@dataclass(frozen=True)
class Server:
    """A running server, and its first user's login."""

    process: subprocess.Popen[bytes]
    port: int
    user: str
    password: str = ADMIN_PASSWORD
    folder: Path = Path()
    """Where its unix socket is, if it has one."""


@contextmanager
def postgresql() -> Iterator[Server]:
    """PostgreSQL with SCRAM passwords, on TCP and on a unix socket; it refuses to run as root."""
    bins = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    initdb, postgres = tool("initdb", *bins), tool("postgres", *bins)
    with _folder("postgres") as folder:
        (folder / "password").write_text(ADMIN_PASSWORD)
        login = ["-U", "admin", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"]
        _do(
            "postgres", initdb, "-D", str(folder / "data"), "-N", "-E", "UTF8", "--locale=C", *login
        )
        port = free_port()
        settings = [f"port={port}", f"listen_addresses={HOST}", f"unix_socket_directories={folder}"]
        settings += ["fsync=off", "shared_buffers=1MB", "max_connections=20"]
        options = [word for setting in settings for word in ("-c", setting)]
        command = [postgres, "-D", str(folder / "data"), *options]
        with _running("postgres", command, folder, signal.SIGINT) as process:
            wait_until(lambda: _logged(process, folder, "ready to accept connections"), 30)
            yield Server(process, port, "admin", folder=folder)


@contextmanager
def mariadb() -> Iterator[Server]:
    """MariaDB, on TCP."""
    install, server = tool("mariadb-install-db"), tool("mariadbd")
    with _folder("mysql") as folder:
        (folder / "init.sql").write_text(
            f"CREATE USER admin@'%' IDENTIFIED BY '{ADMIN_PASSWORD}';\n"
            "GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n"
        )
        data = f"--datadir={folder / 'data'}"
        small = ["--innodb-log-file-size=4M", "--innodb-flush-method=nosync"]
        _do(
            "mysql", install, "--no-defaults", data, "--skip-test-db", "--skip-name-resolve", *small
        )
        port = free_port()
        options = [f"--port={port}", f"--bind-address={HOST}", f"--socket={folder / 'socket'}"]
        options += [f"--init-file={folder / 'init.sql'}", "--skip-name-resolve", *small]
        command = [server, "--no-defaults", data, *options]
        with _running("mysql", command, folder, signal.SIGTERM) as process:
            wait_until(lambda: _logged(process, folder, "ready for connections"), 30)
            yield Server(process, port, "admin")


@contextmanager
def redis(files: Files | None = None) -> Iterator[Server]:
    """Redis with a password; with `files`, on TLS only."""
    server = tool("redis-server")
    with _folder("") as folder:
        port = free_port()
        options = [
            "--bind",
            HOST,
            "--requirepass",
            ADMIN_PASSWORD,
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        if files:
            options += ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
            options += ["--tls-cert-file", str(files.certificate), "--tls-key-file", str(files.key)]
            options += ["--tls-ca-cert-file", str(files.certificate)]
        else:
            options += ["--port", str(port)]
        with _running("", [server, *options], folder, signal.SIGTERM) as process:
            wait_until(lambda: _logged(process, folder, "Ready to accept connections"))
            yield Server(process, port, "default")


@contextmanager
def _folder(owner: str) -> Iterator[Path]:
    # pytest's own folders are closed to the users that these servers need.
    folder = Path(tempfile.mkdtemp(prefix="petsage-"))
    try:
        if _unprivileged(owner):
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder)


def _unprivileged(owner: str) -> str | None:
    return owner if owner and os.geteuid() == 0 else None


def _do(user: str, *command: str) -> None:
    done = subprocess.run(
        command, user=_unprivileged(user), cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _running(
    user: str, command: list[str], folder: Path, stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    options = {"user": _unprivileged(user), "cwd": "/", "stderr": subprocess.STDOUT}
    with (
        (folder / "log").open("wb") as log,
        running(command, stop, 30, stdout=log, **options) as it,
    ):
        yield it


def _logged(process: subprocess.Popen[bytes], folder: Path, words: str) -> bool:
    log = (folder / "log").read_text(errors="replace")
    assert process.poll() is None, log
    return words in log


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Stops the server's process: the kernel still accepts connections, but nothing answers."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)
