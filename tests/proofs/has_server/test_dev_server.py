"""Starting and stopping private database servers, and servers left over from a crash."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.dev import server

ARGUMENT = "--datadir=/a folder/data"


@pytest.fixture
def other_program() -> Iterator[subprocess.Popen[bytes]]:
    """A program with ARGUMENT that is not a child of the code under test."""
    command = [sys.executable, "-c", "print(flush=True); input()", ARGUMENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        yield program
        program.kill()


@pytest.fixture
def pid_file(tmp_path: Path, other_program: subprocess.Popen[bytes]) -> Path:
    """A file with the number of the program."""
    file = tmp_path / "pid"
    file.write_text(f"{other_program.pid}\nmore\n")
    return file


@pytest.fixture(params=["/proc", "/nowhere"])
def _ways_to_see_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux has /proc; elsewhere, ps is asked."""
    monkeypatch.setattr(server, "PROCESSES", Path(request.param))


@pytest.mark.usefixtures("_ways_to_see_processes")
def test_server_of_an_earlier_run_is_stopped(
    other_program: subprocess.Popen[bytes], pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It becomes a zombie, because it is a child of this process.
    monkeypatch.setattr("app.core.dev.server.time.sleep", lambda _: other_program.poll())

    server.stop_left_over(pid_file, ARGUMENT, signal.SIGTERM)

    assert other_program.wait(5) == -signal.SIGTERM
    assert not pid_file.exists()


@pytest.mark.usefixtures("_ways_to_see_processes")
@pytest.mark.parametrize("argument", ["--datadir=/a folder/data/x", "--datadir=/a folder", "data"])
def test_other_programs_keep_running(
    other_program: subprocess.Popen[bytes], pid_file: Path, argument: str
) -> None:
    server.stop_left_over(pid_file, argument, signal.SIGTERM)

    with pytest.raises(subprocess.TimeoutExpired):
        other_program.wait(0.2)
    assert not pid_file.exists()


def test_server_that_does_not_stop_is_reported(
    other_program: subprocess.Popen[bytes], pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_TIMEOUT", 0.05)
    nothing = signal.SIGCONT

    with pytest.raises(SystemExit, match=f"process {other_program.pid}, does not stop"):
        server.stop_left_over(pid_file, ARGUMENT, nothing)

    assert pid_file.exists()


@pytest.mark.parametrize("text", [None, "", "not a number"])
def test_unreadable_pid_files_are_ignored(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "pid").write_text(text)

    server.stop_left_over(tmp_path / "pid", ARGUMENT, signal.SIGTERM)


def test_server_that_is_never_ready_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "START_TIMEOUT", 0.5)
    code = "import os, time; print(os.getpid(), 'FATAL:  out of luck.', flush=True); time.sleep(60)"

    with (
        pytest.raises(SystemExit, match=r"does not start: out of luck\. See .*log\.$"),
        server.running([sys.executable, "-c", code], log=tmp_path / "log", is_ready=lambda: False),
    ):
        pass

    pid = int((tmp_path / "log").read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_missing_program_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match=r"/nowhere/server cannot be run: .*\.$"),
        server.running(["/nowhere/server"], log=tmp_path / "log", is_ready=lambda: True),
    ):
        pass


def test_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1] + '/half', 'w'); sys.exit('x: error: no luck')"

    with pytest.raises(SystemExit, match=r"cannot be created in .*: no luck\.$"):
        server.create(
            tmp_path / "data",
            lambda new: [sys.executable, "-c", code, str(new)],
            log=tmp_path / "log",
        )

    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_what_an_interrupted_creation_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "half").touch()

    server.create(tmp_path / "data", lambda _: ["/bin/true"], log=tmp_path / "log")

    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("LOG:  hello\nFATAL:  first.\nERROR:  second\n", "first"),
        ("2026 [ERROR] InnoDB: damaged\n2026 [ERROR] Aborting\n", "InnoDB: damaged"),
        ("only words\nthe last words\n", "the last words"),
        ("", "its log is empty"),
    ],
)
def test_reason_is_the_first_error(tmp_path: Path, log: str, reason: str) -> None:
    (tmp_path / "log").write_text(log)
    code = f"print({log!r}, end='')"

    with (
        pytest.raises(SystemExit) as end,
        server.running([sys.executable, "-c", code], log=tmp_path / "log", is_ready=lambda: False),
    ):
        pass

    assert f"does not start: {reason}. See " in str(end.value)
