"""Coverage measurement of a rendered application."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.coverage import measure
from support.projects import Project
from support.questions import Combination, first_of


def write(file: Path, text: str) -> None:
    """Write a file and create its folder."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_coverage_lists_uncovered_lines(
    kept_projects: Callable[[Combination], Project], tmp_path: Path
) -> None:
    """Lines, branches and unimported files are listed; code in greenlets counts as covered."""
    write(
        tmp_path / "app/main.py",
        """\
import asyncio
from sqlalchemy.util import await_only

def always_more(value):
    if value:
        value += 1
    return value

def unused():
    return 1

def in_greenlet():
    await_only(asyncio.sleep(0))
    return always_more(1)
""",
    )
    write(tmp_path / "app/alone.py", "x = 1\n")
    write(tmp_path / "app/__init__.py", "")
    write(
        tmp_path / "tests/test_main.py",
        """\
import asyncio
from sqlalchemy.util import greenlet_spawn
from app.main import in_greenlet

def test_used():
    assert asyncio.run(greenlet_spawn(in_greenlet)) == 2
""",
    )
    write(tmp_path / "pyproject.toml", '[tool.coverage.run]\nomit = ["app/alone.py"]\n')
    coverage = measure(kept_projects(first_of("sqlite")), tmp_path / "data", tmp_path)
    assert coverage.tests == 1
    assert coverage.missing == ["app/alone.py: 1", "app/main.py: 10, 5 to 7"]
    # 10 of 12 lines and 1 of 2 branches.
    assert coverage.percent == pytest.approx(100 * 11 / 14)
