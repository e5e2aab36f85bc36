"""Break the database and the service under load: what is acknowledged, lost and answered?"""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from tempfile import TemporaryDirectory
from typing import Self

import measuring
from support import programs, services
from support.databases import DatabaseServer
from support.projects import Project
from support.services import Service

SERVER_FAULTS = (
    *("killed server", "frozen server", "forgotten lock", "too many connections"),
    *("killed service", "stopped service"),
)
FAULTS = {
    "sqlite": ("removed file", "forgotten lock", "killed service", "stopped service"),
    "postgresql": SERVER_FAULTS,
    "mysql": SERVER_FAULTS,
}

ENVIRONMENT = {
    "DATABASE_STATEMENT_TIMEOUT": "1",
    "DATABASE_LOCK_TIMEOUT": "1",
    "DATABASE_POOL_TIMEOUT": "1",
    "BODY_TIMEOUT": "2",
    "SHUTDOWN_TIMEOUT": "2",
    "LOG_FORMAT": "json",
}
"""Short limits, so that a fault of some seconds exceeds them."""

FAULTY = measuring.RENDERED / "faulty_database.py"

LIMIT = 60.0
"""Seconds to wait for the recovery."""

SETTLED = 10
"""Number of successive answers that show the recovery."""

UNREACHABLE = 0
"""Takes the place of a status if the service does not answer."""


@dataclass
class Outcome:
    """What clients saw before, during and after one fault."""

    fault: str
    acknowledged: dict[int, str] = field(default_factory=dict)
    """The title of each song that the service said it created."""
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    recovery: float | None = None
    """Seconds from the end of the fault to the last error; None if there was no end."""

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost, each error is temporary, and the errors ended."""
        temporary = self.statuses.keys() <= {UNREACHABLE, 200, 201, 503}
        return not self.lost and temporary and self.recovery is not None

    def __str__(self) -> str:
        """Return one line."""
        counts = ", ".join(
            f"{count} x {status or 'none'}" for status, count in sorted(self.statuses.items())
        )
        recovery = "never" if self.recovery is None else f"after {self.recovery:.1f} s"
        return (
            f"{self.fault}: acknowledged {len(self.acknowledged)}, lost {self.lost}, "
            f"statuses {counts}, recovered {recovery}"
        )


class Load:
    """Clients that write, update and read, each one request after the other."""

    numbers = itertools.count(1)

    def __init__(self, service: Service, outcome: Outcome) -> None:
        """Prepare the clients of a service."""
        self.service = service
        self.outcome = outcome
        self.last_error = 0.0
        self.successes = [0, 0, 0, 0]
        """The number of successive answers that each client got."""
        self._end = threading.Event()
        self._lock = threading.Lock()
        requests = (self._create, self._create, self._update, self._read)
        self._threads = [
            threading.Thread(target=self._repeat, args=[number, request])
            for number, request in enumerate(requests)
        ]

    def __enter__(self) -> Self:
        """Start the clients."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the clients."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def wait_until_settled(self) -> bool:
        """Return whether every client gets answers again."""
        self.successes = [0] * len(self.successes)
        deadline = time.monotonic() + LIMIT
        while min(self.successes) < SETTLED:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _repeat(self, number: int, request: Callable[[], int]) -> None:
        while not self._end.is_set():
            try:
                status = request()
            except (OSError, HTTPException):
                status = UNREACHABLE
            with self._lock:
                self.outcome.statuses[status] += 1
                if status in {200, 201}:
                    self.successes[number] += 1
                else:
                    self.successes[number] = 0
                    self.last_error = time.monotonic()
            if status == UNREACHABLE:
                time.sleep(0.05)

    def _create(self) -> int:
        title = f"Song {next(self.numbers)}"
        response = self.service.request("POST", "/songs", {"title": title, "artist": "Somebody"})
        if response.status == 201:
            with self._lock:
                self.outcome.acknowledged[response.json()["id"]] = title
        return response.status

    def _update(self) -> int:
        title = f"Song {next(self.numbers)}"
        return self.service.request("PATCH", "/songs/1", {"title": title}).status

    def _read(self) -> int:
        return self.service.get("/songs/1").status


class Database(DatabaseServer):
    """A database that breaks on demand."""

    def tell(self, name: str) -> None:
        """Begin or end a fault."""
        print(name, file=self._process.stdin, flush=True)
        self._answer()


@dataclass
class Setup:
    """A database, and a service that uses it."""

    project: Project
    database: Database
    seconds: float
    """Duration of each fault."""
    service: Service = field(init=False)

    @property
    def env(self) -> dict[str, str]:
        """The environment of the service."""
        return {**ENVIRONMENT, "DATABASE_URL": self.database.url}

    def start(self, port: int) -> None:
        """Start the service on a port, and wait until it answers."""
        command = ("fastapi", "run", "--host", "127.0.0.1")
        self.service = services.start(self.project, *command, env=self.env, port=port)
        self.service.wait_until_it_answers()

    def kill(self) -> None:
        """Kill the service."""
        os.killpg(self.service.process.pid, signal.SIGKILL)
        self.service.process.wait()

    def fault(self, name: str) -> None:
        """Cause a fault for some seconds, and end it."""
        begin, end = {
            "killed server": ("kill", "start"),
            "frozen server": ("freeze", "thaw"),
            "forgotten lock": ("lock", "release"),
            "too many connections": ("exhaust", "release"),
            "removed file": ("remove", "restore"),
            "stopped service": ("lock", "release"),
        }.get(name, (None, None))
        restarts = name in {"killed service", "too many connections"}
        if restarts:
            self.kill()
        if begin:
            self.database.tell(begin)
        if restarts:
            self.start(self.service.port)
        if name == "stopped service":
            self._stop()
        if name not in {"stopped service", "killed service"}:
            time.sleep(self.seconds)
        if end:
            self.database.tell(end)
        if name == "stopped service":
            self.start(self.service.port)

    def _stop(self) -> None:
        """Send SIGTERM while requests wait for a lock, and for a client that sends one byte."""
        with socket.create_connection(("127.0.0.1", self.service.port)) as client:
            client.sendall(b"POST /songs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            time.sleep(0.2)
            self.service.process.send_signal(signal.SIGTERM)
            self.service.process.wait(LIMIT)


def main() -> None:
    """Cause each fault on each database."""
    parser = measuring.parser(__doc__, tuple(FAULTS))
    parser.add_argument("--short", action="store_true", help="end each fault soon")
    options = parser.parse_args()

    right = []
    with measuring.template() as (template, folder):
        for database in measuring.chosen(options.database, tuple(FAULTS)):
            project = measuring.make_project(template, folder / database, database)
            for outcome in measure(project, database, 2 if options.short else 10):
                print(f"{database}, {outcome}", flush=True)
                right.append(outcome.is_right)
    sys.exit(not right or not all(right))


def measure(project: Project, database: str, seconds: float) -> Iterator[Outcome]:
    """Cause the faults of a database, each for some seconds, and yield their outcomes."""
    with broken(project) as faulty:
        setup = Setup(project, faulty, seconds)
        project.uv_run(project.slug, "db", "upgrade", env=setup.env)
        setup.start(programs.free_port())
        try:
            setup.service.request("POST", "/songs", {"title": "First", "artist": "Nobody"})
            for name in FAULTS[database]:
                yield observe(setup, name)
        finally:
            setup.kill()


def observe(setup: Setup, name: str) -> Outcome:
    """Cause a fault under load."""
    outcome = Outcome(name)
    with Load(setup.service, outcome) as load:
        load.wait_until_settled()
        setup.fault(name)
        ended = time.monotonic()
        if load.wait_until_settled():
            outcome.recovery = max(0.0, load.last_error - ended)
    for song, title in outcome.acknowledged.items():
        found = setup.service.get(f"/songs/{song}")
        if found.status != 200 or found.json()["title"] != title:
            outcome.lost += 1
    return outcome


@contextmanager
def broken(project: Project) -> Iterator[Database]:
    """Run a database of the project that breaks on demand."""
    with (
        TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder,
        subprocess.Popen(  # noqa: S603 - the project's own Python
            [programs.uv(), "run", "--quiet", "python", str(FAULTY), folder],
            cwd=project.path,
            env=project.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        yield Database(process)
        # Closing standard input tells the process to stop the server and exit.


if __name__ == "__main__":
    main()
