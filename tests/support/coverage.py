"""Coverage of a rendered application by its tests."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import programs
from support.projects import Project, outcomes

COVERAGE = "coverage==7.17.3"


@dataclass(frozen=True)
class Coverage:
    """The coverage of app/ by the project's tests."""

    tests: int
    percent: float
    missing: list[str]
    """One line for each file that is not fully covered."""


def measure(environment: Project, data: Path, project: Path | None = None) -> Coverage:
    """Run a project's tests, all of which must pass, with line and branch coverage.

    Args:
        environment: the project whose environment is used.
        data: the data file to write.
        project: the folder with the tests, if it differs from `environment`.
    """
    project = project or environment.path
    command = (programs.uv(), "run", "--project", str(environment.path), "--with", COVERAGE)
    # Configured outside the project, which stays unchanged and cannot exclude code.
    options = (f"--data-file={data}", "--rcfile=/dev/null")
    env = environment.environment()
    finished = programs.run(
        *(*command, "coverage", "run", *options, "--branch", "--source=app"),
        # SQLAlchemy runs async drivers in greenlets.
        *("--concurrency=greenlet,thread", "-m", "pytest"),
        cwd=project,
        env=env,
    )
    counts = outcomes(finished)
    assert list(counts) == ["passed"], finished.report()
    report = data.with_suffix(".json")
    programs.run(*command, "coverage", "json", *options, f"-o{report}", cwd=project, env=env)
    measured = json.loads(report.read_text(encoding="utf-8"))
    return Coverage(
        counts["passed"], measured["totals"]["percent_covered"], _missing(measured["files"])
    )


def _missing(files: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, file in files.items():
        gaps = [str(line) for line in file["missing_lines"]]
        # A branch to an uncovered line is redundant.
        gaps += [
            f"{source} to {target if target > 0 else 'the end'}"
            for source, target in file["missing_branches"]
            if target not in file["missing_lines"]
        ]
        if gaps:
            lines.append(f"{name}: {', '.join(gaps)}")
    return lines
