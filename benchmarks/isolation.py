"""Compare the generated test isolation with creating and dropping all tables for each test.

The limit applies to tests that use only a session. Tests with a client also start the application
and send a request on both sides; they are measured for information only. The time of a test is the
sum of its setup, call, and teardown as reported by pytest, without starting the run or the
database server. Both sides use the server's default durability.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import measuring
from support.databases import serve
from support.projects import Project

LIMITS = {"postgresql": 10, "mysql": 20}
"""SQLite has no limit: it has no server, and is measured for information only."""

DATABASES = ("sqlite", "postgresql", "mysql")


def main() -> None:
    """Measure on each database."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--tests", type=int, default=40, help="number of tests of each kind")
    options = parser.parse_args()

    shares = []
    with measuring.template() as (template, folder):
        for database in measuring.chosen(options.database, DATABASES):
            project = measuring.make_project(template, folder / database, database)
            tables = add_tables(project)
            times = run(project, options.tests)
            for test, what in (("test_store", "a session"), ("test_create", "a client")):
                savepoint, create_drop = (
                    times["test_savepoint", test],
                    times["test_create_drop", test],
                )
                ratio = create_drop.median / savepoint.median
                if database in LIMITS and test == "test_store":
                    shares.append(ratio / LIMITS[database])
                print(
                    f"{database}, {tables} tables, a test with {what}: "
                    f"{savepoint.median:.1f} ms with a savepoint, "
                    f"{create_drop.median:.1f} ms with create and drop, ratio {ratio:.1f}"
                )
    measuring.conclude(shares, 1, min)


@dataclass
class Times:
    """Times of one kind of test, in milliseconds."""

    phases: dict[str, list[float]] = field(default_factory=dict)
    """The time of each test, by phase: "setup", "call" and "teardown"."""

    def add(self, phase: str, milliseconds: float) -> None:
        """Record the time of one phase."""
        self.phases.setdefault(phase, []).append(milliseconds)

    @property
    def median(self) -> float:
        """Median time of a test."""
        # The first test is a warm-up: it also pays for the shared fixtures.
        return median(map(sum, list(zip(*self.phases.values(), strict=True))[1:]))


def add_tables(project: Project) -> int:
    """Add the tables, the tests, and a migration to the project."""
    shutil.copytree(measuring.RENDERED / "things", project.path / "app" / "things")
    shutil.copytree(measuring.RENDERED / "isolation", tests(project))
    with serve(project) as server:
        env = {"DATABASE_URL": server.create()}
        project.uv_run(project.slug, "db", "upgrade", env=env)
        project.uv_run(project.slug, "db", "revision", "-m", "add things", env=env)
    revisions = (project.path / "migrations" / "versions").glob("*.py")
    return sum(path.read_text(encoding="utf-8").count("op.create_table(") for path in revisions)


def tests(project: Project) -> Path:
    """Return the destination folder of the tests."""
    return project.path / "tests" / "isolation_benchmark"


def run(project: Project, number: int) -> dict[tuple[str, str], Times]:
    """Run the tests once; return the times by file name and test name."""
    report = project.path / "durations.jsonl"
    env = {"RUNS": str(number + 1), "DURATIONS": str(report)}
    project.uv_run("pytest", str(tests(project)), env=env, timeout=900)
    times: dict[tuple[str, str], Times] = {}
    for line in report.read_text(encoding="utf-8").splitlines():
        kind, phase, seconds = json.loads(line)
        file, test = kind.split("::")
        times.setdefault((file, test), Times()).add(phase, seconds * 1000)
    return times


if __name__ == "__main__":
    main()
