"""Additional test output: the failed stage, and lines for the summary."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

RAN = "ran"

Say = Callable[[str], None]
"""Add a line to the terminal summary."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Add the name of the stage to a failure."""
    try:
        yield
    except Exception as error:
        error.add_note(f"Failed stage: {name}.")
        raise


def said(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return the lines that tests added with the `say` fixture, in order."""
    return sorted(
        str(value)
        for report in reports
        if report.when == "teardown"
        for name, value in report.user_properties
        if name == RAN
    )
