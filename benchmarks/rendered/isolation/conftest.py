"""One test of the one kind, one of the other, and so on; what each took is written to a file."""

import json
import os
from pathlib import Path, PurePosixPath

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test."""
    metafunc.parametrize("run", range(int(os.environ["RUNS"])))


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Let the two take turns."""
    items.sort(key=lambda item: int(item.callspec.params["run"]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down how long a phase of a test took."""
    file = PurePosixPath(report.nodeid.partition("::")[0]).name
    with Path(os.environ["DURATIONS"]).open("a", encoding="utf-8") as durations:
        print(json.dumps([file, report.when, report.duration]), file=durations)
