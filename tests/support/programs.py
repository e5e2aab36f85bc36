"""Programs run in a controlled environment, with a time limit and captured output."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OUTPUT_LINES_SHOWN = 60

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
    *("XDG_CACHE_HOME", "XDG_DATA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""Other variables, such as DATABASE_URL, VIRTUAL_ENV or CI, would affect the tests."""

INHERITED_FROM_UV = (
    "UV",  # path of uv itself, set by `uv run`
    *("UV_CACHE_DIR", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    *("UV_LINK_MODE", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_OFFLINE", "UV_HTTP_TIMEOUT"),
)
"""Location of uv and of packages; other settings of uv are left to each project."""


@dataclass(frozen=True)
class Finished:
    """The result of a program."""

    command: tuple[str, ...]
    cwd: Path
    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Standard output followed by standard error."""
        return self.stdout + self.stderr

    def report(self) -> str:
        """Return the command, its exit code and the end of its output."""
        lines = self.output.rstrip().splitlines()
        if len(lines) > OUTPUT_LINES_SHOWN:
            left_out = f"[{len(lines) - OUTPUT_LINES_SHOWN} lines omitted]"
            lines = [left_out, *lines[-OUTPUT_LINES_SHOWN:]]
        headline = (
            f"{' '.join(self.command)}  (in {self.cwd}) ended with exit code {self.exit_code}"
        )
        return "\n".join([headline, *lines])


def environment(**extra: str) -> dict[str, str]:
    """Return the environment for a program: selected variables and `extra`."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name in INHERITED_FROM_UV
    }
    # `uv run pytest` prepends the meta suite's tools to PATH; a project must find only its own.
    own = str(Path(sys.prefix) / "bin")
    search = [entry for entry in inherited["PATH"].split(os.pathsep) if entry != own]
    return {
        **inherited,
        "PATH": os.pathsep.join(search),
        # The suite reports missing interpreters; uv must not download them.
        "UV_PYTHON_DOWNLOADS": "never",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **extra,
    }


def uv() -> str:
    """Return the path of uv, which is not necessarily on PATH."""
    found = os.environ.get("UV") or shutil.which("uv")
    if not found:
        msg = "uv is not on PATH: run the suite with `uv run pytest`."
        raise RuntimeError(msg)
    return found


def run(
    *command: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float = 300,
    stdin: str = "",
) -> Finished:
    """Run a program; raise an AssertionError if it fails, unless `check` is false."""
    # Files instead of pipes: a daemon that inherits a pipe would block the reader.
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        given.write(stdin.encode())
        given.seek(0)
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment() if env is None else env,
            stdin=given,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            exit_code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            exit_code = None
            # On SIGTERM, most programs print where they are.
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        texts = []
        for stream in (stdout, stderr):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    finished = Finished(command, cwd, process.returncode, *texts)
    if exit_code is None:
        msg = f"Timed out after {timeout:.0f} s: {finished.report()}"
        raise AssertionError(msg)
    if check and exit_code:
        raise AssertionError(finished.report())
    return finished


def found(name: str) -> str:
    """Return the path of a program that every machine has."""
    path = shutil.which(name)
    assert path, f"{name} is not on PATH."
    return path


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for_port(process: subprocess.Popen[bytes], port: int, timeout: float = 30) -> None:
    """Wait until the process accepts connections; raise if it exits or does not in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    msg = f"{process.args!r} does not accept connections; exit code {process.poll()}."
    raise AssertionError(msg)
