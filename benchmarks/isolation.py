"""What a test costs with the generated fixtures, and with all tables created and dropped for it.

The time of a test is that of its set-up, call and tear-down, as pytest reports them: starting the
run and the database server is not part of it.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

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
            seconds = run(project, options.tests)
            savepoint, create_drop = (median(seconds[kind]) for kind in KINDS)
            if database in LIMITED:
                ratios.append(create_drop / savepoint)
            print(
                f"{database}, {tables} tables: {savepoint * 1000:.1f} ms with a savepoint, "
                f"{create_drop * 1000:.1f} ms with create and drop, "
                f"ratio {create_drop / savepoint:.1f}"
            )
    measuring.conclude(ratios, LIMIT, min)


KINDS = ("test_savepoint", "test_create_drop")


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


def run(project: Project, number: int) -> dict[str, Sequence[float]]:
    """Run the tests in one go, and return the seconds that each took, by kind."""
    report = project.path / "report.xml"
    # The first of each kind warms up, and pays for the fixtures that all tests share.
    env = {"RUNS": str(number + 1)}
    project.uv_run("pytest", str(tests(project)), f"--junitxml={report}", env=env, timeout=900)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - written by pytest
        seconds[case.attrib["classname"].rpartition(".")[2]].append(float(case.attrib["time"]))
    return {kind: times[1:] for kind, times in seconds.items()}


if __name__ == "__main__":
    main()
