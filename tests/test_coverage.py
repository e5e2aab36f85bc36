"""Coverage measurement of a rendered application."""

import json
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


PYTEST_COV = "pytest-cov==7.1.0"


def test_service_configures_coverage(
    kept_projects: Callable[[Combination], Project], tmp_path: Path
) -> None:
    """Handlers, which continue in greenlets, are covered; the template's code does not count."""
    project = kept_projects(first_of("sqlite"))
    report = tmp_path / "coverage.json"

    project.uv_run(
        *(
            "--with",
            PYTEST_COV,
            "pytest",
            "-q",
            "tests/songs",
            "--cov",
            f"--cov-report=json:{report}",
        ),
        env={"COVERAGE_FILE": str(tmp_path / "data")},
    )

    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    assert files["app/songs/router.py"]["summary"]["percent_covered"] == 100
    assert not [name for name in files if name.startswith(("app/core/", "tests/"))]
