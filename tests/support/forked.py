"""Fast repeated runs of a project's tests in forks, instead of `uv run pytest` each time."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO

from support import programs
from support.programs import Finished
from support.projects import Project

SCRIPT = Path(__file__).with_name("forked_pytest.py")

LATER = count(1)


class Runner:
    """A process in the project's environment that imports libraries once and forks for each run."""

    def __init__(self, project: Project, process: subprocess.Popen[str], output: IO[bytes]) -> None:
        """Wrap the running process, whose standard error is `output`."""
        self._project = project
        self._process = process
        self._output = output

    def pytest(self, *arguments: str, timeout: float = 120) -> Finished:
        """Run some of the project's tests; on a timeout, kill the run and return exit code -9."""
        assert self._process.stdin is not None
        # The process shares this file handle, and writes at its position.
        self._output.seek(0)
        self._output.truncate()
        print(
            json.dumps(["-p", "no:cacheprovider", *arguments]), file=self._process.stdin, flush=True
        )
        child = self._answer()
        timer = threading.Timer(timeout, _kill, [child])
        timer.start()
        exit_code = self._answer()
        timer.cancel()
        # The run can leave processes behind.
        _kill(child)
        self._output.seek(0)
        text = self._output.read().decode(errors="replace")
        return Finished(("pytest", *arguments), self._project.path, exit_code, text, "")

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@contextmanager
def forking(project: Project, env: Mapping[str, str]) -> Iterator[Runner]:
    """Start a process that runs the project's tests with these environment variables."""
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            [programs.uv(), "run", "--quiet", "python", "-P", str(SCRIPT)],
            cwd=project.path,
            env=project.environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as process,
    ):
        yield Runner(project, process, output)


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """Replace a file's text, and restore it afterwards.

    Python reuses cached bytecode if the size and the modification second are unchanged, so each
    change gets its own second.
    """
    original = path.read_text(encoding="utf-8")
    try:
        _write(path, text)
        yield
    finally:
        _write(path, original)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    moment = time.time() + next(LATER)
    os.utime(path, (moment, moment))
