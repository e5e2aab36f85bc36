"""Runs a private database server."""

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
"""Seconds, including the recovery after a crash."""

STOP_TIMEOUT = 30.0
"""Seconds."""

ERROR = re.compile(r"\b(?:FATAL|PANIC|ERROR|error)\b[]:]*(.*)")

PROCESSES = Path("/proc")
"""Exists on Linux, but not on macOS."""


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    is_ready: Callable[[], bool],
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Run a server, and stop it on exit.

    Args:
        command: the program and its arguments.
        log: the file for its output.
        is_ready: returns whether it accepts connections.
        stop_signal: the signal that stops it without waiting for its clients.

    Raises:
        SystemExit: the server does not start; the message contains the reason.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # on Ctrl-C, its clients must stop first
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
            process.kill()  # it recovers on the next start
            process.wait()


def create(
    data: Path,
    command: Callable[[Path], Sequence[str | Path]],
    *,
    log: Path,
    owner: str | None = None,
) -> None:
    """Create the data of a server, completely or not at all.

    Args:
        data: the folder to create.
        command: returns the command that creates the data in a given folder.
        log: the file for the output of the command.
        owner: the owner of the folder; by default, the user of this process.

    Raises:
        SystemExit: the command fails; the message contains the reason.
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
    """Stop the server of an earlier run that was killed.

    Another program can have its process ID by now; it is not stopped.

    Args:
        pid_file: the file with the process ID of the server.
        argument: an argument that only this server has, such as its folder.
        stop_signal: the signal that stops it without waiting for its clients.

    Raises:
        SystemExit: the server does not stop.
    """
    try:
        number = re.match(r"\d+", pid_file.read_text())
    except OSError:
        return
    if number is None:
        return
    pid = int(number[0])
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
    lines = log.read_text(errors="replace").splitlines() or ["its log is empty"]
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
