"""Rendered projects and the programs run in them."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import yaml

from support import programs
from support.environments import PROOFS, Environments
from support.programs import Finished

MANUAL = "app/core/README.md"
DEPLOYMENT_MANUAL = "app/core/DEPLOYMENT.md"
"""The manual in each project."""

CLOSING_LINE = re.compile(r"^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s\b.*$", re.MULTILINE)


@dataclass(frozen=True)
class Project:
    """A rendered project; programs run in it as they do for its owner."""

    path: Path
    python: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for every program, such as UV_RESOLUTION."""
    environments: Environments | None = None
    """The shared virtual environments; if None, the project has its own."""

    @property
    def environment_path(self) -> Path:
        """The path of the project's virtual environment."""
        if self.environments is None:
            return self.path / ".venv"
        return self.environments.of(self.path, self.python, self.settings)

    @property
    def slug(self) -> str:
        """The name of the project's command."""
        answers = yaml.safe_load((self.path / ".copier-answers.yml").read_text(encoding="utf-8"))
        return str(answers["project_slug"])

    def with_settings(self, **settings: str) -> Self:
        """Return the same project with additional environment variables."""
        return replace(self, settings={**self.settings, **settings})

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 300,
        stdin: str = "",
    ) -> Finished:
        """Run a command in the project folder."""
        if command[0] == "uv":
            command = (programs.uv(), *command[1:])
        return programs.run(
            *command,
            cwd=self.path,
            env=self.environment(env),
            check=check,
            timeout=timeout,
            stdin=stdin,
        )

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment that `run` uses."""
        return programs.environment(
            UV_PYTHON=str(self.python),
            UV_PROJECT_ENVIRONMENT=str(self.environment_path),
            **{**self.settings, **(env or {})},
        )

    def uv_run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 300,
        stdin: str = "",
    ) -> Finished:
        """Run a command in the project's environment."""
        return self.run(
            *("uv", "run", "--quiet", *command),
            env=env,
            check=check,
            timeout=timeout,
            stdin=stdin,
        )

    def sync(self) -> None:
        """Install the project, with the resolution shared by projects with equal dependencies.

        What its proofs need in addition is listed in their folders. `uv run` leaves it alone.
        """
        lock, known = self.path / "uv.lock", self.environment_path.with_suffix(".lock")
        if known.exists() and not lock.exists():
            shutil.copy(known, lock)
        self.run("uv", "sync")
        shutil.copy(lock, known)
        for file in sorted(self.path.glob(PROOFS)):
            self.run(
                *("uv", "pip", "install", "--quiet"),
                *(f"--python={self.environment_path}", f"--requirement={file}"),
            )

    def tests(self, *arguments: str) -> int:
        """Run the generated tests, all of which must pass; return their number."""
        finished = self.uv_run("pytest", *arguments)
        counts = outcomes(finished)
        # Skipped, deselected and xfailed tests prove nothing.
        if list(counts) != ["passed"]:
            msg = f"Some generated tests did not run or pass: {finished.report()}"
            raise AssertionError(msg)
        return counts["passed"]

    def git(self, *arguments: str) -> str:
        """Run git and return its output."""
        return self.run("git", *arguments).stdout


def outcomes(finished: Finished) -> dict[str, int]:
    """Return the counts from pytest's last line, such as {"passed": 3, "failed": 1}."""
    closing = CLOSING_LINE.findall(finished.stdout)
    if not closing:
        msg = f"pytest printed no summary: {finished.report()}"
        raise AssertionError(msg)
    counts = (entry.split() for entry in closing[-1].split(", "))
    return {outcome: int(count) for count, outcome in counts}
