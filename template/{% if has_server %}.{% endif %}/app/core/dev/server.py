"""Running a private database server."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT = 60.0
"""Seconds. After a crash, a server first repairs its data."""

STOP_TIMEOUT = 30.0
"""Seconds."""

ERROR = re.compile(r"\b(?:FATAL|PANIC|ERROR|error)\b[]:]*(.*)")

PROCESSES = Path("/proc")
"""Linux has it, macOS does not."""


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    is_ready: Callable[[], bool],
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Run a server, and stop it at the end.

    Args:
        command: the program and its arguments.
        log: the file to write its output to.
        is_ready: whether it accepts connections.
        stop_signal: the signal that makes it stop without waiting for its clients.

    Raises:
        SystemExit: it does not start; the message says why.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C has to end its clients first
            )
        except OSError as error:
            raise SystemExit(f"Error: {command[0]} cannot be run: {error.strerror}.") from None
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(
                    f"Error: The database server does not start: {_reason(log)}. See {log}."
                )
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()  # it recovers when it is started again
            process.wait()


def create(
    data: Path,
    command: Callable[[Path], Sequence[str | Path]],
    *,
    log: Path,
    owner: str | None = None,
) -> None:
    """Create a server's data, completely or not at all.

    Args:
        data: the folder of the data, which does not exist.
        command: the command that creates the data in the folder that it is given.
        log: the file to write the command's output to.
        owner: the user that the folder belongs to; by default, this process's.

    Raises:
        SystemExit: it fails; the message says why.
    """
    new = data.with_name(f"{data.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(mode=0o700)
        if owner:
            shutil.chown(new, owner)
        with log.open("wb") as output:
            subprocess.run(command(new), stdout=output, stderr=output, check=True)  # noqa: S603
        new.rename(data)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(new, ignore_errors=True)
        why = error.strerror if isinstance(error, OSError) else _reason(log)
        raise SystemExit(f"Error: The database cannot be created in {data}: {why}.") from None


def stop_left_over(pid_file: Path, argument: str, stop_signal: signal.Signals) -> None:
    """Stop the server of an earlier run that was killed before it could do so.

    By now, the number in its file can be another program's, which has to go on.

    Args:
        pid_file: the file with the number of the server's process.
        argument: an argument that only this server has, such as its folder.
        stop_signal: the signal that makes it stop without waiting for its clients.

    Raises:
        SystemExit: the server does not stop.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    deadline = time.monotonic() + STOP_TIMEOUT
    if _has_argument(pid, argument):
        os.kill(pid, stop_signal)
    while _has_argument(pid, argument):
        if time.monotonic() > deadline:
            raise SystemExit(
                f"Error: The database server of an earlier run, process {pid}, does not stop: "
                "end it, and try again."
            )
        time.sleep(0.02)
    pid_file.unlink(missing_ok=True)


def _reason(log: Path) -> str:
    """Return the first error in a log, or its last line."""
    lines = log.read_text(errors="replace").splitlines() or ["it says nothing"]
    errors = (error for line in lines if (error := ERROR.search(line)))
    error = next(errors, None)
    return (error[1] if error else lines[-1]).strip().rstrip(".")


def _has_argument(pid: int, argument: str) -> bool:
    if (PROCESSES / "self").exists():
        try:
            command = (PROCESSES / str(pid) / "cmdline").read_text(errors="replace")
        except OSError:
            return False
        return argument in command.split("\0")
    # macOS
    found = subprocess.run(  # noqa: S603
        ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return f" {argument} " in f" {found.stdout.strip()} "
