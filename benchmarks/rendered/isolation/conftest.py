"""One test of the one kind, one of the other, and so on."""

import os

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test."""
    metafunc.parametrize("run", range(int(os.environ["RUNS"])))


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Let the two take turns."""
    items.sort(key=lambda item: int(item.callspec.params["run"]))
