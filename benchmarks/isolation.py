"""What a test costs with the generated fixtures, and with all tables created and dropped for it.

The limit is for the fixture that isolates: a test that needs only a session pays for nothing else.
A test with a client also pays for the start of the application and for the request, either way; it
is measured for information. The time of a test is that of its set-up, call and tear-down, as pytest
reports them: starting the run and the database server is not part of it. The server is as durable
as it is when it is installed, on both sides.
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
"""SQLite has no server to wait for: it is measured for information."""

DATABASES = ("sqlite", "postgresql", "mysql")


def main() -> None:
    """Measure on each database."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--tests", type=int, default=40, help="of each kind")
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
    """The milliseconds of one kind of tests."""

    phases: dict[str, list[float]] = field(default_factory=dict)
    """For "setup", "call" and "teardown", what each test took."""

    def add(self, phase: str, milliseconds: float) -> None:
        """Count a phase of a test."""
        self.phases.setdefault(phase, []).append(milliseconds)

    @property
    def median(self) -> float:
        """The median test."""
        # The first test warms up, and pays for the fixtures that all tests share.
        return median(map(sum, list(zip(*self.phases.values(), strict=True))[1:]))


def add_tables(project: Project) -> int:
    """Drop a feature and the tests into the project, and write the migration."""
    shutil.copytree(measuring.RENDERED / "things", project.path / "app" / "things")
    shutil.copytree(measuring.RENDERED / "isolation", tests(project))
    with serve(project) as server:
        env = {"DATABASE_URL": server.create()}
        project.uv_run(project.slug, "db", "upgrade", env=env)
        project.uv_run(project.slug, "db", "revision", "-m", "add things", env=env)
    revisions = (project.path / "migrations" / "versions").glob("*.py")
    return sum(path.read_text(encoding="utf-8").count("op.create_table(") for path in revisions)


def tests(project: Project) -> Path:
    """Return the folder for the tests."""
    return project.path / "tests" / "isolation_benchmark"


def run(project: Project, number: int) -> dict[tuple[str, str], Times]:
    """Run the tests in one go; return the times for each file's name and test's name."""
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
