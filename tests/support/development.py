"""Running `dev` in a rendered project."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support import programs
from support.projects import Project
from support.services import STOP_TIMEOUT, Service, start

PID_FILES = {"postgresql": "data/postmaster.pid", "mysql": "pid"}


@dataclass(frozen=True)
class Development:
    """A project whose `dev` is run."""

    project: Project

    @property
    def folder(self) -> Path:
        """The folder of the development database."""
        return self.project.path / ".dev"

    def pid(self) -> int:
        """Return the process that runs `dev`."""
        return int(json.loads((self.folder / "running").read_text())["pid"])

    def server_pid(self, database: str) -> int:
        """Return the process that runs the database server."""
        return int((self.folder / PID_FILES[database]).read_text().split()[0])

    def refused(self, *options: str, prefix: tuple[str, ...] = ()) -> str:
        """Run `dev`, which must fail with one sentence; return it."""
        command = (*prefix, programs.uv(), "run", "--quiet", self.project.slug, "dev", *options)
        finished = self.project.run(*command, check=False)
        assert finished.exit_code == 1, finished.report()
        (sentence,) = finished.output.splitlines()
        assert sentence.startswith("Error: ")
        return sentence

    @contextmanager
    def running(self, env: Mapping[str, str] | None = None) -> Iterator[Service]:
        """Run `dev` and wait until it serves; kill every remaining process on exit."""
        service = start(self.project, "--quiet", self.project.slug, "dev", env=env)
        try:
            service.wait_until_it_answers()
            yield service
        finally:
            for pid in self.processes(service.process.pid):
                os.kill(pid, signal.SIGKILL)
            service.process.wait()

    def processes(self, session: int) -> list[int]:
        """Return the processes of a terminal session, and those with the project's path."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    command = (entry / "cmdline").read_text(errors="replace")
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:  # it has just ended
                    continue
                if command and (int(fields[3]) == session or str(self.project.path) in command):
                    found.append(int(entry.name))
        return found

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait while the service restarts; fail if the condition does not hold in time."""
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            with suppress(OSError):
                if holds():
                    return
            time.sleep(0.05)
        msg = "The service does not do what is expected of it."
        raise AssertionError(msg)
