"""What each run of a combination came to, from the tests' processes to the table at the end."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import pytest

Properties = list[tuple[str, object]]

ROW, TESTS, STAGE, COVERAGE, WALL, CPU = (
    f"meta.{name}" for name in ("row", "tests", "stage", "coverage", "wall", "cpu")
)


class Record:
    """Lets a test say which row of the table it belongs to, and how far it came."""

    def __init__(self, properties: Properties) -> None:
        """Write to the test's `user_properties`, which xdist carries to the main process."""
        self._properties = properties

    def row(self, name: object) -> None:
        """Count this test in the row with that name."""
        self._properties.append((ROW, str(name)))

    def tests(self, number: int) -> None:
        """Add tests that ran in the rendered project."""
        self._properties.append((TESTS, number))

    def coverage(self, percent: float) -> None:
        """Say how much of app/ the generated tests run."""
        self._properties.append((COVERAGE, float(percent)))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Name the stage in the table and in the failure, should it fail."""
        try:
            yield
        except Exception as error:
            self._properties.append((STAGE, name))
            error.add_note(f"The stage that failed: {name}.")
            raise


@contextmanager
def measured(properties: Properties) -> Iterator[None]:
    """Record wall and CPU seconds, those of ended child processes included."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    try:
        yield
    finally:
        properties += [(WALL, time.perf_counter() - wall), (CPU, _cpu_seconds() - cpu)]


def _cpu_seconds() -> float:
    usages = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass
class Row:
    """One line of the table."""

    name: str
    tests: int = 0
    wall: float = 0
    cpu: float = 0
    coverage: float | None = None
    verdict: str = "passed"

    def add(self, report: pytest.TestReport) -> None:
        """Count one phase of one test."""
        properties = report.user_properties
        if report.failed:
            stages = [str(value) for key, value in properties if key == STAGE]
            self.verdict = f"FAILED: {stages[0]}" if stages else "FAILED"
        elif report.skipped and self.verdict == "passed":
            self.verdict = "skipped"
        if report.when == "call":
            for key, value in properties:
                if key == TESTS and isinstance(value, int):
                    self.tests += value
                elif key == COVERAGE and isinstance(value, float):
                    self.coverage = value
                elif key == WALL and isinstance(value, float):
                    self.wall += value
                elif key == CPU and isinstance(value, float):
                    self.cpu += value

    def cells(self) -> tuple[str, ...]:
        """Return what is shown."""
        return (
            self.name,
            f"{self.tests}",
            f"{self.wall:.1f}",
            f"{self.cpu:.1f}",
            "" if self.coverage is None else f"{self.coverage:.1f}",
            self.verdict,
        )


class Progress:
    """Says so when a run that took a while has ended, because dots alone would come too rarely."""

    WORTH_A_LINE = 5.0

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        """Write to that terminal."""
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write one line for each long run."""
        name = row_name(report)
        if name is None or report.when != "call":
            return
        row = Row(name)
        row.add(report)
        if row.wall >= self.WORTH_A_LINE:
            self._terminal.ensure_newline()
            self._terminal.write_line(
                f"{name}: {row.tests} tests in {row.wall:.1f} s, {row.verdict}"
            )


def row_name(report: pytest.TestReport) -> str | None:
    """Return the row that a report belongs to."""
    return next((str(value) for key, value in report.user_properties if key == ROW), None)


def rows(reports: Iterable[pytest.TestReport]) -> dict[str, Row]:
    """Return what the reports come to: a row for each name, in the order of the names."""
    found: dict[str, Row] = {}
    for report in reports:
        if name := row_name(report):
            found.setdefault(name, Row(name)).add(report)
    return {name: found[name] for name in sorted(found)}


def table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table: combination, tests run, seconds, coverage, verdict."""
    heading = ("combination", "tests", "wall s", "CPU s", "cover %", "verdict")
    cells = [heading, *(row.cells() for row in rows)]
    if cells == [heading]:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            [
                f"{name:<{widths[0]}}",
                *(f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:-1], strict=True)),
                verdict,
            ]
        )
        for name, *numbers, verdict in cells
    ]
