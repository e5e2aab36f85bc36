"""Compare reading a row with and without telemetry."""

import asyncio
import time
from argparse import Namespace
from contextlib import ExitStack

import request

import measuring
from support import programs
from support.collector import collecting
from support.databases import serve
from support.projects import Project

DATABASES = ("sqlite", "postgresql", "mysql")
OFF, TRACES = "off", "traces and metrics"
BASE = "none in the code"
LOWEST, HIGHEST = 0.98, 1.02
"""Bounds of telemetry that is off."""
LIMIT = 1.3
"""Bound of traces with a span for each statement, compared with telemetry that is off."""


def main() -> None:
    """Measure on each database."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.25, help="duration of each round")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()

    shares = []
    with measuring.template() as (template, folder), collecting() as (url, _):
        for database in measuring.chosen(options.database, DATABASES):
            project = measuring.make_project(template, folder / database, database)
            add_extras(project)
            with measuring.on_core(measuring.CLIENT):
                costs = measure(project, url, options)
            for name, cost in costs.items():
                ratio = cost / costs[OFF if name != OFF else BASE]
                print(f"{database}: {name}: {cost * 1e6:.0f} us of CPU, x {ratio:.3f}")
                if name == OFF:
                    shares += [ratio / HIGHEST, LOWEST / ratio]
                elif name == TRACES:
                    shares.append(ratio / LIMIT)
    measuring.conclude(shares, 1, max)


def add_extras(project: Project) -> None:
    """Install the packages of all extras."""
    file = project.path / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    every = text.replace("[core]", "[core,telemetry,metrics,sentry]", 1)
    file.write_text(every, encoding="utf-8")
    project.run("uv", "sync")


def measure(project: Project, url: str, options: Namespace) -> dict[str, float]:
    """Return the CPU seconds for a request, of each kind of service."""
    kinds = {
        BASE: ("without_telemetry:app", {}),
        OFF: ("app.asgi:app", {}),
        TRACES: ("app.asgi:app", {"OTEL_EXPORTER_OTLP_ENDPOINT": url}),
        "Prometheus": ("app.asgi:app", {"METRICS_PORT": str(programs.free_port())}),
        "Sentry": ("app.asgi:app", {"SENTRY_DSN": url.replace("//", "//key@") + "/1"}),
    }
    with serve(project) as server, ExitStack() as stack:
        env = {"DATABASE_URL": server.create(), "DATABASE_POOL_SIZE": request.POOL_SIZE}
        project.uv_run(project.slug, "db", "upgrade", env=env)
        servers = {
            name: stack.enter_context(
                measuring.serving(project, application, measuring.RENDERED, env | settings)
            )
            for name, (application, settings) in kinds.items()
        }
        for number in range(1, request.SONGS + 1):
            request.add_song(servers[OFF][0], number)
        used, answered = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0.0)
        # The first round is a warm-up: it fills caches and opens connections.
        for number in range(options.rounds + 1):
            for name, (port, process) in servers.items():
                before = measuring.cpu_seconds(process)
                started = time.perf_counter()
                rate = asyncio.run(request.load(port, options.seconds, options.connections))
                if number:
                    answered[name] += rate * (time.perf_counter() - started)
                    used[name] += measuring.cpu_seconds(process) - before
    return {name: used[name] / answered[name] for name in kinds}


if __name__ == "__main__":
    main()
