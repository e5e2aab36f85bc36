"""Database servers for rendered services, started by their own test helpers."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import programs
from support.projects import Project

SERVE = Path(__file__).with_name("serve_databases.py")

PROGRAMS = {"mysql": ("mariadbd", "mysqld")}
"""Programs required on PATH. SQLite needs no server; PostgreSQL's comes in a wheel."""


def missing_server(database: str) -> str | None:
    """Return a sentence if this machine has no server for the database, or None."""
    needed = PROGRAMS.get(database)
    # The generated tests search these folders, too.
    path = os.pathsep.join([programs.environment()["PATH"], "/usr/sbin", "/usr/local/sbin"])
    if needed is None or any(shutil.which(program, path=path) for program in needed):
        return None
    return (
        f"{database} is not tested: none of {', '.join(needed)} is on PATH; "
        "on Debian and Ubuntu, run `apt install mariadb-server`."
    )


class DatabaseServer:
    """A private server, run by a process in the project's environment."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Wait until the server is running."""
        self._process = process
        self.url = self._answer()

    def create(self) -> str:
        """Create an empty database and return its URL."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if answer := self._process.stdout.readline().strip():
            return answer
        msg = f"The database server process exited with code {self._process.wait()}."
        raise AssertionError(msg)


ELSEWHERE = "Asia/Kathmandu"
"""A time zone whose offset from UTC has both hours and minutes."""


@contextmanager
def serve(project: Project) -> Iterator[DatabaseServer]:
    """Run the server that the project's own tests would start, in another time zone."""
    with subprocess.Popen(
        [programs.uv(), "run", "--quiet", "python", str(SERVE)],
        cwd=project.path,
        env=project.environment({"TZ": ELSEWHERE}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield DatabaseServer(process)
        # Closing standard input tells the process to stop the server and exit.
