"""Measure how far one machine goes: workers, connections, PgBouncer, a replica, and a migration.

The load generator, the services and the servers of PostgreSQL share the machine's cores.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median

from request import add_song, load

import measuring
from support import pooling, replicas, services
from support.balancing import Load
from support.databases import serve
from support.projects import Project

SONGS = 500
CLIENTS = 16

COUNT = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

READ = "BEGIN; SELECT 1 FROM songs LIMIT 1; SELECT pg_sleep(7)"
"""A reader that ALTER TABLE has to wait for."""

SLOWEST = 1.0
"""Seconds."""

COLUMN = '    genre: Mapped[str] = mapped_column(String(50), server_default="")\n'


def main() -> None:
    """Measure reads of a row by its primary key, and the slowest request during a migration."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of each round")
    options = parser.parse_args()

    with measuring.template() as (template, folder), ExitStack() as stack:
        project = measuring.make_project(template, folder / "service", "postgresql")
        server = stack.enter_context(serve(project))
        url = server.create()
        project = project.with_settings(DATABASE_URL=url, LOG_FORMAT="json", LOG_LEVEL="WARNING")
        project.uv_run(project.slug, "db", "upgrade")
        with services.running(project, command=(project.slug, "serve")) as service:
            for number in range(1, SONGS + 1):
                add_song(service.port, number)
        replica = stack.enter_context(replicas.postgresql(project, url))
        program = pooling.find_pgbouncer()
        if program is None:
            raise SystemExit("PgBouncer is not on PATH.")
        pooled = stack.enter_context(pooling.pgbouncer(program, url))

        behind = {"DATABASE_URL": pooled, "DATABASE_PGBOUNCER": "true"}
        alternatives: dict[str, tuple[int, Mapping[str, str]]] = {
            "2 workers": (2, {}),
            "4 workers": (4, {}),
            "1 worker, pool of 1": (1, {"DATABASE_POOL_SIZE": "1"}),
            "1 worker, pool of 4": (1, {"DATABASE_POOL_SIZE": "4"}),
            "1 worker, pool of 40": (1, {"DATABASE_POOL_SIZE": "40"}),
            "1 worker, PgBouncer with 2 connections": (1, behind),
            "1 worker, replica": (1, {"DATABASE_READ_URL": replica.read_url}),
        }
        with services.running(project, command=(project.slug, "serve")) as one:
            asyncio.run(load(one.port, options.seconds, CLIENTS))
            print(f"1 worker: {replicas.execute(project, url, COUNT)} connections")
            for name, (workers, env) in alternatives.items():
                with services.running(
                    project, env, "--workers", str(workers), command=(project.slug, "serve")
                ) as other:
                    before = int(replicas.execute(project, url, COUNT))
                    rates = compare((one.port, other.port), options.rounds, options.seconds)
                    connections = int(replicas.execute(project, url, COUNT)) - before
                # Adjacent rounds share the same background load.
                ratio = median(b / a for a, b in zip(*rates, strict=True))
                print(
                    f"{name}: {median(rates[1]):.0f} requests/s, {ratio:.2f} of one worker, "
                    f"{connections} connections",
                    flush=True,
                )
        slowest = migrate_behind_reader(project, url)
    measuring.conclude([slowest], SLOWEST, max)


def compare(ports: Sequence[int], rounds: int, seconds: float) -> tuple[list[float], list[float]]:
    """Return the requests per second of two services."""
    rates: tuple[list[float], list[float]] = ([], [])
    # The first round is a warm-up: it opens connections.
    for number in range(rounds + 1):
        for port, measured in zip(ports, rates, strict=True):
            rate = asyncio.run(load(port, seconds, CLIENTS))
            if number:
                measured.append(rate)
    return rates


def migrate_behind_reader(project: Project, url: str) -> float:
    """Return the seconds of the slowest request while a column is added behind a reader."""
    models = project.path / "app" / "songs" / "models.py"
    with services.running(project, command=(project.slug, "serve")) as service:
        models.write_text(models.read_text(encoding="utf-8") + COLUMN, encoding="utf-8")
        project.uv_run(project.slug, "db", "revision", "-m", "add genres")
        reader = threading.Thread(target=replicas.execute, args=(project, url, READ))
        clients = Load(service.port, 2)
        reader.start()
        try:
            clients.wait_for(50)
            project.uv_run(project.slug, "db", "upgrade")
        finally:
            clients.stop()
            reader.join()
    if clients.failures:
        raise SystemExit(f"Requests failed: {clients.failures[:3]}")
    print(f"slowest of {clients.requests} requests during a migration: {clients.slowest:.2f} s")
    return clients.slowest


if __name__ == "__main__":
    main()
