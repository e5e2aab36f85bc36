"""Shared parts of the benchmarks: projects, options, and the final verdict."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

# The meta suite has the helpers for rendering projects and starting servers.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import interpreters, programs
from support.databases import missing_server
from support.projects import Project
from support.rendering import Template, snapshot
from support.root import Answer

RENDERED = Path(__file__).with_name("rendered")
"""Files that are copied into rendered projects or run by their Python."""

SERVER, CLIENT = 0, 1
"""CPU cores. The database server shares the client's core, which has spare capacity."""

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []


def parser(description: str | None, databases: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser, with a --database option if `databases` is given."""
    arguments = argparse.ArgumentParser(description=description)
    if databases:
        arguments.add_argument(
            "--database",
            action="append",
            choices=databases,
            help="measure only this database; can be repeated",
        )
    return arguments


def chosen(asked: Sequence[str] | None, databases: Sequence[str]) -> Iterator[str]:
    """Yield the databases to measure; report those that this machine cannot serve."""
    for database in asked or databases:
        if reason := missing_server(database):
            print(reason)
        else:
            yield database


@contextmanager
def template() -> Iterator[tuple[Template, Path]]:
    """Yield the working tree's template and a folder for renders."""
    with TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        yield snapshot(Path(folder, "template")), Path(folder)


def make_project(source: Template, path: Path, database: str, **answers: Answer) -> Project:
    """Render a project and create its environment."""
    source.render(path, {"database": database, **answers})
    project = Project(path, interpreters.at_least(interpreters.WANTED[0]))
    project.run("uv", "sync")
    return project


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """Pin this process and its children to one core, if the system supports it."""
    if not CORES:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[number % len(CORES)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(project: Project, application: str, folder: Path, env: dict[str, str]) -> Iterator[int]:
    """Run an application with uvicorn's defaults, and yield its port."""
    with serving(project, application, folder, env) as (port, _):
        yield port


@contextmanager
def serving(
    project: Project, application: str, folder: Path, env: dict[str, str]
) -> Iterator[tuple[int, int]]:
    """Run an application with uvicorn's defaults, and yield its port and process ID."""
    port = programs.free_port()
    python = project.path / ".venv" / "bin" / "python"
    options = ("--app-dir", str(folder), "--port", str(port))
    with on_core(SERVER), project.path.with_suffix(f".{port}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the project's own Python
            [python, "-m", "uvicorn", application, *options],
            cwd=project.path,
            env=project.environment(env),
            stdout=log,
            stderr=log,
        )
    try:
        programs.wait_for_port(process, port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process has used, in steps of some 10 ms."""
    # The name of the program, in parentheses, can contain spaces.
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def conclude(values: Sequence[float], limit: float, worst: Callable[..., float]) -> None:
    """Print the result; exit with code 1 if the worst value misses the limit.

    Args:
        values: one ratio per measurement.
        limit: the bound that every value must satisfy.
        worst: `max` if the limit is an upper bound, `min` if it is a lower bound.
    """
    if not values:
        raise SystemExit("Nothing was measured.")
    value = worst(values)
    print(f"ratio: {value:.2f} (limit {limit:g})")
    sys.exit(worst(value, limit) != limit)
