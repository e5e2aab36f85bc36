"""Measure startup: importing the application, and running one test.

The import is compared with importing the libraries needed for serving; the test is compared with
importing its dependencies and starting the database server. The import is measured in CPU time,
because it never waits for I/O.
"""

import re
import resource
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import measuring
from support.projects import Project

IMPORT_LIMIT, TEST_LIMIT = 1.15, 1.5
DATABASES = ("sqlite", "postgresql", "mysql")

TEST = "tests/core/test_transactions.py::test_handler_sees_the_objects_of_the_test"

BARE = """
import asyncio, pytest, pytest_asyncio, httpx2, alembic.command, structlog, typer
import app.main
from tests.core.database_server import database_server
with database_server():
    pass
"""


def main() -> None:
    """Measure on each database, alternating what is compared."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()

    shares = []
    with measuring.template() as (template, folder):
        for database in measuring.chosen(options.database, DATABASES):
            project = measuring.make_project(template, folder / database, database)
            env = {"DATABASE_URL": "x"}
            libraries = f"import {', '.join(libraries_of(project))}"
            imported = compare(
                cpu,
                partial(project.uv_run, "python", "-c", "import app.main", env=env),
                partial(project.uv_run, "python", "-c", libraries, env=env),
                options.rounds,
            )
            tested = compare(
                wall,
                partial(project.uv_run, "pytest", TEST),
                partial(project.uv_run, "python", "-c", BARE),
                options.rounds,
            )
            shares += [imported / IMPORT_LIMIT, tested / TEST_LIMIT]
            print(
                f"{database}: import app.main {imported:.2f} of its libraries "
                f"(limit {IMPORT_LIMIT}), one test {tested:.2f} of imports and server "
                f"(limit {TEST_LIMIT})"
            )
    measuring.conclude(shares, 1, max)


def libraries_of(project: Project) -> list[str]:
    """Return the modules outside the standard library that core imports for serving."""
    names: set[str] = set()
    for file in (project.path / "app" / "core").glob("*.py"):
        if file.stem != "cli":
            text = file.read_text(encoding="utf-8")
            names |= set(re.findall(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE))
    return sorted(name for name in names if not name.startswith("app."))


def compare(
    clock: Callable[[], float], ours: Callable[[], object], bare: Callable[[], object], rounds: int
) -> float:
    """Return the ratio of the medians; the first round is a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for run, measured in zip((ours, bare), times, strict=True):
            started = clock()
            run()
            if number:
                measured.append(clock() - started)
    return median(times[0]) / median(times[1])


def wall() -> float:
    """Return wall time in seconds."""
    return time.perf_counter()


def cpu() -> float:
    """Return the CPU time of finished child processes in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
