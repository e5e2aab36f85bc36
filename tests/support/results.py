"""What a test says of itself besides its verdict: the stage that failed, and what it ran."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

RAN = "ran"

Say = Callable[[str], None]
"""Adds a line to the end of the run."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Name the stage in the failure, should it fail."""
    try:
        yield
    except Exception as error:
        error.add_note(f"The stage that failed: {name}.")
        raise


def said(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return the lines that tests added with the fixture `say`, in order."""
    return sorted(
        str(value)
        for report in reports
        if report.when == "teardown"
        for name, value in report.user_properties
        if name == RAN
    )
