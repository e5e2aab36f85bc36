"""What a test costs with the generated fixtures, and with all tables created and dropped for it.

The time of a test is that of its set-up, call and tear-down, as pytest reports them: starting the
run and the database server is not part of it.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import measuring
from support.databases import serve
from support.projects import Project

LIMIT = 20
DATABASES = ("sqlite", "postgresql", "mysql")
LIMITED = ("postgresql", "mysql")
"""SQLite has no server to wait for: it is measured for information."""


def main() -> None:
    """Measure on each database."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--tests", type=int, default=40, help="of each kind")
    options = parser.parse_args()

    ratios = []
    with measuring.template() as (template, folder):
        for database in measuring.chosen(options.database, DATABASES):
            project = measuring.make_project(template, folder / database, database)
            tables = add_tables(project)
            savepoint, create_drop = run(project, options.tests)
            ratio = create_drop.test / savepoint.test
            if database in LIMITED:
                ratios.append(ratio)
            print(
                f"{database}, {tables} tables: {savepoint} with a savepoint, "
                f"{create_drop} with create and drop, ratio {ratio:.1f} "
                f"(fixtures alone {create_drop.fixtures / savepoint.fixtures:.1f})"
            )
    measuring.conclude(ratios, LIMIT, min)


@dataclass
class Times:
    """The milliseconds of one kind of tests."""

    phases: dict[str, list[float]] = field(default_factory=dict)
    """For "setup", "call" and "teardown", what each test took."""

    def add(self, phase: str, milliseconds: float) -> None:
        """Count a phase of a test."""
        self.phases.setdefault(phase, []).append(milliseconds)

    @property
    def test(self) -> float:
        """The median test."""
        return self._median("setup", "call", "teardown")

    @property
    def fixtures(self) -> float:
        """The median test without what it does itself."""
        return self._median("setup", "teardown")

    def _median(self, *phases: str) -> float:
        # The first test warms up, and pays for the fixtures that all tests share.
        tests = list(zip(*(self.phases[phase] for phase in phases), strict=True))[1:]
        return median(map(sum, tests))

    def __str__(self) -> str:
        """Return the time of a test and, in brackets, the part of the fixtures."""
        return f"{self.test:.1f} ms ({self.fixtures:.1f} ms)"


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


def run(project: Project, number: int) -> Sequence[Times]:
    """Run the tests in one go; return the times with a savepoint, and with create and drop."""
    report = project.path / "durations.jsonl"
    env = {"RUNS": str(number + 1), "DURATIONS": str(report)}
    project.uv_run("pytest", str(tests(project)), env=env, timeout=900)
    times = {"test_savepoint.py": Times(), "test_create_drop.py": Times()}
    for line in report.read_text(encoding="utf-8").splitlines():
        file, phase, seconds = json.loads(line)
        times[file].add(phase, seconds * 1000)
    return list(times.values())


if __name__ == "__main__":
    main()
