"""A load balancer in front of services, and clients that count failed requests."""

import csv
import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from uuid import uuid4

from support import programs

CONFIGURATION = """\
global
    stats socket {socket}

defaults
    mode tcp
    retries 0
    timeout connect 5s
    timeout client 60s
    timeout server 60s

listen service
    bind 127.0.0.1:{port}
    option httpchk GET /health/ready
    default-server check inter 200ms fall 1 rise 1
"""


def missing_haproxy() -> str | None:
    """Return a sentence if HAProxy is not installed, or None."""
    if _haproxy():
        return None
    return "HAProxy is not on PATH; on Debian and Ubuntu, run `apt install haproxy`."


def _haproxy() -> str | None:
    return shutil.which("haproxy", path=f"{programs.environment()['PATH']}:/usr/sbin")


class Balancer:
    """A running HAProxy."""

    def __init__(self, port: int, socket: Path) -> None:
        """Remember the port, and the socket for questions."""
        self.port = port
        self._socket = socket

    def wait_for(self, *ports: int) -> None:
        """Wait until exactly the services on these ports get connections."""
        wanted = {f"s{port}" for port in ports}
        while self._ready() != wanted:
            time.sleep(0.05)

    def _ready(self) -> set[str]:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as file:
            connection.connect(str(self._socket))
            file.write("show stat\n")
            file.flush()
            rows = list(csv.DictReader(file))
        # A server counts as up until its first check.
        return {row["svname"] for row in rows if row["status"].startswith("UP")} - {"BACKEND"}


@contextmanager
def balanced(ports: Sequence[int], folder: Path) -> Iterator[Balancer]:
    """Distribute connections to the ready ones of `ports`, without retries."""
    port = programs.free_port()
    servers = "".join(f"    server s{number} 127.0.0.1:{number}\n" for number in ports)
    configuration, stats = folder / "haproxy.cfg", folder / "haproxy.sock"
    text = CONFIGURATION.format(port=port, socket=stats)
    configuration.write_text(text + servers, encoding="utf-8")
    program = _haproxy()
    assert program
    process = subprocess.Popen(
        [program, "-db", "-f", configuration],
        env=programs.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        programs.wait_for_port(process, port)
        yield Balancer(port, stats)
    finally:
        process.terminate()
        process.wait()


class Load:
    """Clients that add songs and read them, on connections that they keep."""

    def __init__(self, port: int, clients: int) -> None:
        """Start the clients."""
        self.requests = 0
        self.failures: list[str] = []
        self.slowest = 0.0
        self._port = port
        self._stopped = Event()
        self._pool = ThreadPoolExecutor(clients)
        self._clients: list[Future[None]] = [
            self._pool.submit(self._request_often) for _ in range(clients)
        ]

    def wait_for(self, requests: int) -> None:
        """Wait until there were that many more requests."""
        wanted = self.requests + requests
        while self.requests < wanted and not self.failures:
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the clients."""
        self._stopped.set()
        self._pool.shutdown()
        for client in self._clients:
            client.result()

    def _request_often(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for number in count():
            if self._stopped.is_set():
                break
            started = time.monotonic()
            try:
                self._use(connection, add=number % 4 == 0)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(f"{time.monotonic():.1f}: {error!r}")
                connection.close()
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.requests += 1
        connection.close()

    def _use(self, connection: http.client.HTTPConnection, *, add: bool) -> None:
        if add:
            song = json.dumps({"title": uuid4().hex, "artist": "Various"})
            connection.request("POST", "/songs", song, {"Content-Type": "application/json"})
        else:
            connection.request("GET", "/songs?limit=1")
        response = connection.getresponse()
        body = response.read()
        assert response.status in {200, 201}, (response.status, body)
