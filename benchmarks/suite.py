"""How long a generated project's tests take, and how much CPU its whole check needs."""

import shutil
import time
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

import measuring
from support.databases import serve
from support.projects import Project

WALL_LIMIT = 5.0
CPU_LIMIT = 25.0
DATABASES = ("sqlite", "postgresql", "mysql")
LIMITED = ("sqlite", "postgresql")
"""MySQL's server takes some seconds to start: its wall time is measured for information."""


def main() -> None:
    """Measure on each database."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    ratios = []
    with measuring.template() as (template, folder):
        projects = {
            database: measuring.make_project(template, folder / database, database)
            for database in measuring.chosen(options.database, DATABASES)
        }
        walls: dict[str, list[float]] = {database: [] for database in projects}
        for number in range(options.rounds + 1):
            for database, project in projects.items():
                started = time.perf_counter()
                project.tests()
                # The first run is not warm: it compiles what it imports.
                if number:
                    walls[database].append(time.perf_counter() - started)
        for database, project in projects.items():
            wall, cpu = median(walls[database]), check(project)
            ratios.append(cpu / CPU_LIMIT)
            if database in LIMITED:
                ratios.append(wall / WALL_LIMIT)
            print(
                f"{database}: tests {wall:.2f} s (limit {WALL_LIMIT:g} s"
                f"{'' if database in LIMITED else ' elsewhere'}), "
                f"whole check {cpu:.1f} s of CPU (limit {CPU_LIMIT:g} s)"
            )
    measuring.conclude(ratios, 1, max)


def check(project: Project) -> float:
    """Check the project as for the first time; return the CPU seconds of all its processes."""
    for name in (".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"):
        shutil.rmtree(project.path / name, ignore_errors=True)
    before = cpu_seconds()
    project.run("uv", "sync")
    project.uv_run("ruff", "format", "--check")
    project.uv_run("ruff", "check")
    project.uv_run("mypy")
    project.tests()
    with serve(project) as server:
        env = {"DATABASE_URL": server.create()}
        project.uv_run(project.slug, "db", "upgrade", env=env)
        project.uv_run(project.slug, "db", "check", env=env)
    return cpu_seconds() - before


def cpu_seconds() -> float:
    """Return the CPU seconds of the processes that were started and have ended."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
