"""A small cluster: pods behind a balancer whose list of endpoints lags.

As in a real cluster, a pod gets SIGTERM at the moment in which it is taken off the list, and a node
gets the new list later. The balancer knows nothing of HTTP: a connection stays with its pod.

    python -m tests.e2e.cluster     (measures the lags of the printed manifest in real time)
"""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.deploy.printed import printed
from tests.support import ROOT, Served, free_port, running, served, wait_until

PODS = 3
CLIENTS = 8
PATH = "/api/v1/smoke-test"


@dataclass(frozen=True)
class Outcome:
    """What the clients saw during a rollout."""

    answered: int
    lost: Counter[str]
    """The requests that did not get a 200, by what they got instead."""


def roll(folder: Path, lag_seconds: float, requests: int, pace: float = 1) -> Outcome:
    """Replaces every pod under traffic, and goes on until `requests` were sent.

    With a `pace` of 10, the manifest's drain and the lag take a tenth of their seconds.
    """
    drain_seconds = printed().config().drain_seconds / pace
    with ExitStack() as stack:
        pods = [_pod(stack, folder, drain_seconds) for _ in range(PODS)]
        balancer = stack.enter_context(_Balancer.running())
        balancer.follow(pods)
        clients = stack.enter_context(_process("clients", str(balancer.port)))
        for old in list(pods):
            pods += [_pod(stack, folder, drain_seconds)]
            pods.remove(old)
            old.process.send_signal(signal.SIGTERM)
            balancer.follow(pods, after_seconds=lag_seconds / pace)
        balancer.join()
        assert old.process.wait(60) == 0
        return _counted(clients, requests)


def _pod(stack: ExitStack, folder: Path, drain_seconds: float) -> Served:
    return stack.enter_context(served(folder, workers=1, drain_seconds=drain_seconds))


def _counted(clients: subprocess.Popen[str], requests: int) -> Outcome:
    clients.stdin.write(f"{requests}\n")
    clients.stdin.close()
    seen = Counter(json.loads(clients.stdout.readline()))
    return Outcome(seen.pop("200"), seen)


@dataclass
class _Balancer:
    port: int
    process: subprocess.Popen[str]
    _latest: threading.Timer | None = None

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["_Balancer"]:
        port = free_port()
        with _process("balancer", str(port)) as process:
            wait_until(lambda: process.stdout.readline())
            yield cls(port, process)

    def follow(self, pods: list[Served], after_seconds: float = 0) -> None:
        """Makes these pods the endpoints, after so many seconds."""
        ports = " ".join(pod.main.rpartition(":")[2] for pod in pods)
        self._latest = threading.Timer(after_seconds, self._write, [f"{ports}\n"])
        self._latest.start()

    def join(self) -> None:
        """Waits until the balancer has the latest list."""
        self._latest.join(60)

    def _write(self, line: str) -> None:
        self.process.stdin.write(line)
        self.process.stdin.flush()


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.e2e.cluster", *arguments]
    pipe = subprocess.PIPE
    with running(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as process:
        yield process


# --- the processes


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


async def _balance(port: int) -> None:
    endpoints: list[int] = []
    numbers = count()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            endpoint = endpoints[next(numbers) % len(endpoints)]
            from_pod, to_pod = await asyncio.open_connection("127.0.0.1", endpoint)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, to_pod), _pump(from_pod, writer))

    server = await asyncio.start_server(handle, "127.0.0.1", port, backlog=1024)
    print("listening", flush=True)
    lines = await _lines()
    async with server:
        while line := await lines.readline():
            endpoints[:] = map(int, line.split())


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def _send(port: int) -> None:
    seen = Counter({"200": 0})
    wanted: list[int] = []
    clients = [asyncio.create_task(_client(port, one % 2, seen, wanted)) for one in range(CLIENTS)]
    lines = await _lines()
    wanted.append(int(await lines.readline()))
    await asyncio.gather(*clients)
    print(json.dumps(seen), flush=True)


async def _client(port: int, keeps: int, seen: Counter[str], wanted: list[int]) -> None:
    """Sends one request after the other until all clients have sent as many as are wanted. If it
    `keeps` its connection, it does so for as long as the pod does."""
    request = f"GET {PATH} HTTP/1.1\r\nHost: pets\r\n{'' if keeps else 'Connection: close'}"
    writer = None
    while not wanted or seen.total() < wanted[0]:
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{request.rstrip()}\r\n\r\n".encode())
            head, ends = await asyncio.wait_for(_answer(reader), 30)
            seen[head.split()[1]] += 1
        except (OSError, EOFError, TimeoutError) as error:
            seen[type(error).__name__] += 1
            ends = True
        if ends and writer:
            writer.close()
            writer = None


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """The answer's head, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length: ")[2].split("\r\n")[0]
    await reader.readexactly(int(length))
    return head, "connection: close" in head


def _measure() -> None:
    for lag in (0, 1, 3, 12):
        with tempfile.TemporaryDirectory() as folder:
            outcome = roll(Path(folder), lag, 20_000)
        print(f"lag {lag:2} s: {outcome.answered} answered, lost {dict(outcome.lost)}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["balancer", port]:
            asyncio.run(_balance(int(port)))
        case ["clients", port]:
            asyncio.run(_send(int(port)))
        case _:
            _measure()
