"""Virtual environments that projects with the same dependencies share, one after the other.

Most of what a fresh environment costs is that Python compiles each library once more. Sharing
costs a fraction of that: uv then only has to replace the project itself.
"""

import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path


class Environments:
    """The environments of one process, which uses no two of their projects at once."""

    def __init__(self, directory: Path) -> None:
        """Keep them in that folder."""
        self._directory = directory

    def of(self, project: Path, python: Path, settings: Mapping[str, str]) -> Path:
        """Return the environment for a project, which depends on what it is made of.

        Args:
            project: a rendered project.
            python: the interpreter that it uses.
            settings: its environment variables; uv's own change what is installed.
        """
        pyproject = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
        made_of = (
            python,
            pyproject["project"]["dependencies"],
            pyproject.get("dependency-groups"),
            sorted(item for item in settings.items() if item[0].startswith("UV_")),
        )
        return self._directory / sha256(repr(made_of).encode()).hexdigest()[:16]
