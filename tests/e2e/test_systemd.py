"""What systemd is told by PetSage, when it is started as the printed unit has it."""

import re
import signal
import socket
import struct
import subprocess

from tests.support import PETSAGE, environment_of, free_port


def test_the_main_process_itself_says_that_it_is_ready(tmp_path):
    """From any other process systemd takes no notice: NotifyAccess=main, sd_notify(3)."""
    unit = subprocess.check_output([PETSAGE, "deploy", "systemd"], text=True)
    assert "\nType=notify\n" in unit
    (command,) = re.findall(r"(?m)^ExecStart=/opt/petsage/bin/petsage (.*)$", unit)
    path = str(tmp_path / "notify")
    addresses = {key: f"127.0.0.1:{free_port()}" for key in ("bind", "management_bind")}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        told.settimeout(20)
        told.bind(path)
        with subprocess.Popen(
            [PETSAGE, *command.split()],
            env=environment_of(addresses) | {"NOTIFY_SOCKET": path},
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                message, [(_, kind, sender)], _, _ = told.recvmsg(4096, socket.CMSG_SPACE(12))
            finally:
                process.send_signal(signal.SIGINT)
    assert "READY=1" in message.decode().splitlines()
    assert kind == socket.SCM_CREDENTIALS
    assert struct.unpack("iII", sender)[0] == process.pid
