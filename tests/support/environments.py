"""Virtual environments shared by projects with the same dependencies, one at a time.

Most of the cost of a fresh environment is compiling libraries to bytecode. In a shared
environment, uv only has to reinstall the project itself.
"""

import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

PROOFS = "tests/proofs/*/requirements.txt"
"""Lists of what the proofs of a project need in addition."""


class Environments:
    """The environments of one process, which never uses two of their projects at once."""

    def __init__(self, directory: Path) -> None:
        """Create environments in `directory`."""
        self._directory = directory

    def of(self, project: Path, python: Path, settings: Mapping[str, str]) -> Path:
        """Return the environment for a project, shared by all with the same dependencies.

        Args:
            project: a rendered project.
            python: its interpreter.
            settings: its environment variables; those for uv affect what is installed.
        """
        pyproject = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
        made_of = (
            python,
            pyproject["project"]["dependencies"],
            pyproject["project"].get("optional-dependencies"),
            pyproject.get("dependency-groups"),
            [file.read_text("utf-8") for file in sorted(project.glob(PROOFS))],
            sorted(item for item in settings.items() if item[0].startswith("UV_")),
        )
        return self._directory / sha256(repr(made_of).encode()).hexdigest()[:16]
