"""Runs of a project's tests in forks: their reports, isolation and time limit."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.forked import Runner, changed, forking
from support.projects import Project, outcomes
from support.questions import first_of


@pytest.fixture(scope="module")
def project(
    make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A project without its own tests."""
    project = make_project(tmp_path_factory.mktemp("forked") / "service", first_of("sqlite"))
    project.sync()
    return project


@pytest.fixture(scope="module")
def runner(project: Project) -> Iterator[Runner]:
    """A forking process."""
    with forking(project, {"COLOR": "green"}) as runner:
        yield runner


@pytest.fixture
def write(project: Project) -> Callable[[str, str], Path]:
    """Write a file into its own folder, without shared fixtures."""

    def write(name: str, text: str) -> Path:
        file = project.path / "apart" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_run_reports_exit_code_and_output(
    runner: Runner, write: Callable[[str, str], Path]
) -> None:
    """Each run has its own exit code and output, and the given environment."""
    write("test_passes.py", "import os\ndef test_it(): assert os.environ['COLOR'] == 'green'\n")
    write("test_fails.py", "def test_it(): assert 'a' == 'b'\n")
    failed = runner.pytest("apart/test_fails.py")
    assert failed.exit_code == 1
    assert outcomes(failed) == {"failed": 1}
    assert (
        "FAILED apart/test_fails.py::test_it - AssertionError: assert 'a' == 'b'" in failed.stdout
    )
    passed = runner.pytest("apart/test_passes.py")
    assert passed.exit_code == 0
    assert outcomes(passed) == {"passed": 1}
    assert "test_fails" not in passed.stdout


def test_run_cannot_import_suite_modules(runner: Runner, write: Callable[[str, str], Path]) -> None:
    """Some suite modules share names with libraries."""
    text = "import importlib.util as util\ndef test_it(): assert util.find_spec('{}') is None\n"
    write("test_modules.py", text.format("forked"))
    assert runner.pytest("apart/test_modules.py").exit_code == 0


def test_run_sees_each_change(runner: Runner, write: Callable[[str, str], Path]) -> None:
    """Bytecode is not reused, even for a change of the same length in the same second."""
    module = write("number.py", "NUMBER = 1\n")
    write("test_number.py", "import number\ndef test_it(): assert number.NUMBER == 1\n")
    for _ in range(2):
        assert runner.pytest("apart/test_number.py").exit_code == 0
        with changed(module, "NUMBER = 2\n"):
            assert runner.pytest("apart/test_number.py").exit_code == 1


def test_timeout_kills_run_and_children(
    runner: Runner, project: Project, write: Callable[[str, str], Path]
) -> None:
    """A broken service can loop forever without affecting the next run."""
    write(
        "test_endless.py",
        "import subprocess, pathlib\n"
        "def test_it():\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    pathlib.Path('child').write_text(str(child.pid))\n"
        "    child.wait()\n",
    )
    started = time.monotonic()
    assert runner.pytest("apart/test_endless.py", timeout=2).exit_code == -9
    assert time.monotonic() - started < 30
    child = int((project.path / "child").read_text(encoding="utf-8"))
    assert ended(child)
    write("test_passes.py", "def test_it(): pass\n")
    assert runner.pytest("apart/test_passes.py").exit_code == 0


def ended(process: int) -> bool:
    """Return whether a process ends within a few seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
