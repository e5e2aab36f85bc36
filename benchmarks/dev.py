"""The first minutes: starting `dev`, and getting from the template to an open page.

The second start of `dev` is compared with `fastapi dev` on a database server that already runs;
copy, tests and `dev` with PostgreSQL are compared with the same for SQLite.
"""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

import measuring
from support import interpreters, programs
from support.databases import serve
from support.projects import Project
from support.rendering import Template

START_LIMIT, FIRST_LIMIT = 1.3, 1.5
DATABASES = ("sqlite", "postgresql", "mysql")


def main() -> None:
    """Measure on each database; measurements that are compared alternate."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    shares = []
    with measuring.template() as (template, folder):
        for database in measuring.chosen(options.database, DATABASES):
            project = measuring.make_project(template, folder / database, database)
            with serve(project) as server:
                env = {"DATABASE_URL": server.create()}
                project.uv_run(project.slug, "db", "upgrade", env=env)
                ours, theirs = alternate(
                    partial(started, project, (project.slug, "dev"), {}),
                    partial(started, project, ("fastapi", "dev"), env),
                    options.rounds,
                )
            shares.append(ours / theirs / START_LIMIT)
            print(
                f"{database}: dev serves after {ours:.2f} s, fastapi dev after {theirs:.2f} s, "
                f"ratio {ours / theirs:.2f} (limit {START_LIMIT})"
            )
        if options.database is None:
            postgresql, sqlite = alternate(
                partial(first_minutes, template, folder / "first", "postgresql"),
                partial(first_minutes, template, folder / "first", "sqlite"),
                options.rounds,
            )
            shares.append(postgresql / sqlite / FIRST_LIMIT)
            print(
                f"from the template to /docs: PostgreSQL {postgresql:.1f} s, SQLite {sqlite:.1f} s,"
                f" ratio {postgresql / sqlite:.2f} (limit {FIRST_LIMIT})"
            )
    measuring.conclude(shares, 1, max)


def alternate(
    first: Callable[[], float], second: Callable[[], float], rounds: int
) -> tuple[float, float]:
    """Return the median seconds of each; the first round warms up."""
    times = [(first(), second()) for _ in range(rounds + 1)][1:]
    return median(a for a, _ in times), median(b for _, b in times)


def started(project: Project, command: Sequence[str], env: Mapping[str, str]) -> float:
    """Return the seconds until a development server answers."""
    port = programs.free_port()
    begin = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - the project's own command
        [programs.uv(), "run", "--quiet", *command, "--port", str(port)],
        cwd=project.path,
        env=project.environment(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while process.poll() is None:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/docs", timeout=30).close()
                return time.perf_counter() - begin
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
    msg = f"{command} ended with exit code {process.returncode}."
    raise RuntimeError(msg)


def first_minutes(template: Template, folder: Path, database: str) -> float:
    """Return the seconds from `copier copy` to a page of the tested service."""
    begin = time.perf_counter()
    path = folder / f"{database}-{begin}"
    template.render(path, {"database": database})
    project = Project(path, interpreters.at_least(interpreters.WANTED[0]))
    project.uv_run("pytest")
    started(project, (project.slug, "dev"), {})
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
