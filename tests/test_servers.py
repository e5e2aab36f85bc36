"""Database servers started by the tests of services."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support import programs
from support.databases import serve
from support.projects import Project
from support.questions import Combination, first_of, first_of_each_database

MYSQL = first_of("mysql")


@pytest.mark.parametrize("combination", [MYSQL], ids=str)
def test_server_keeps_temporary_tables_of_others(
    combination: Combination, kept_projects: Callable[[Combination], Project]
) -> None:
    """MariaDB deletes temporary tables at startup, as leftovers of a crash."""
    # A short path, because socket paths have a length limit.
    with TemporaryDirectory() as folder:
        table = Path(folder, "#sql-temptable-1-1-1.MAI")
        table.touch()
        with serve(kept_projects(combination).with_settings(TMPDIR=folder)):
            pass
        assert table.exists()


STOPPED = """\
import time
from pathlib import Path

from app.settings import Settings


def test_that_is_stopped(settings: Settings) -> None:
    url = settings.database_url
    place = url.query.get("host") or url.query.get("unix_socket") or url.database
    Path("place").write_text(str(place))
    time.sleep(60)
"""
"""A slow test that reports the location of its database server's files."""


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", first_of_each_database(), ids=str)
def test_stopped_run_leaves_no_server(
    combination: Combination, make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """Editors and CI stop runs with SIGTERM, which ends Python without cleanup by default."""
    project = make_project(tmp_path / "service", combination)
    (project.path / "tests" / "test_stopped.py").write_text(STOPPED, encoding="utf-8")
    project.sync()
    process = subprocess.Popen(
        [programs.uv(), "run", "pytest", "tests/test_stopped.py"],
        cwd=project.path,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        written = project.path / "place"
        deadline = time.monotonic() + 60
        while not (written.is_file() and written.read_text(encoding="utf-8")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        place = Path(written.read_text(encoding="utf-8"))
        assert place.exists()

        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == pytest.ExitCode.INTERRUPTED
        assert not place.exists()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
