"""What the benchmarks share: rendered projects, the options, and the verdict at the end."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

# The meta suite knows how to render a project and how to start what it needs.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import interpreters
from support.databases import missing_server
from support.projects import Project
from support.rendering import Template, snapshot

RENDERED = Path(__file__).with_name("rendered")
"""Files that are put into rendered projects, or run by their Python."""

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []


def parser(description: str | None, databases: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser, with the option --database if there are databases to choose from."""
    arguments = argparse.ArgumentParser(description=description)
    if databases:
        arguments.add_argument(
            "--database",
            action="append",
            choices=databases,
            help="measure only this one; may be given several times",
        )
    return arguments


def chosen(asked: Sequence[str] | None, databases: Sequence[str]) -> Iterator[str]:
    """Yield the databases to measure, and say which of them this machine cannot serve."""
    for database in asked or databases:
        if reason := missing_server(database):
            print(reason)
        else:
            yield database


@contextmanager
def template() -> Iterator[tuple[Template, Path]]:
    """Make the working tree's template ready to be rendered, and a folder for the renders."""
    with TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        yield snapshot(Path(folder, "template")), Path(folder)


def make_project(source: Template, path: Path, database: str) -> Project:
    """Render a project with its environment."""
    source.render(path, {"database": database})
    project = Project(path, interpreters.at_least(interpreters.WANTED[0]))
    project.run("uv", "sync")
    return project


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """Let this process, and those started meanwhile, use only that core, if the system can."""
    if not CORES:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[number % len(CORES)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def conclude(values: Sequence[float], limit: float, worst: Callable[..., float]) -> None:
    """Print the last line; exit with 1 if the worst value misses the limit.

    Args:
        values: one for each thing that was measured.
        limit: what none of them may exceed, or fall below.
        worst: `max` if the limit is the most that is allowed, `min` if it is the least.
    """
    if not values:
        raise SystemExit("Nothing was measured.")
    value = worst(values)
    print(f"ratio: {value:.2f} (limit {limit:g})")
    sys.exit(worst(value, limit) != limit)
