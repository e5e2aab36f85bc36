"""Renders the template with the answers of a service."""

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import copier
import yaml
from packaging.version import InvalidVersion, Version

from prewired.errors import PrewiredError
from prewired.git import Git
from prewired.project import ANSWERS, Project


def newest_release(address: str) -> str | None:
    """Return the tag of the newest release, or None if there is no release.

    Raises:
        PrewiredError: the template cannot be reached.
    """
    versions = {}
    for line in _remote(address, "ls-remote", "--tags", "--refs", "--", address).splitlines():
        tag = line.rpartition("refs/tags/")[2]
        try:
            version = Version(tag)
        except InvalidVersion:
            continue
        if not version.is_prerelease:
            versions[version] = tag
    return versions[max(versions)] if versions else None


def _remote(address: str, *arguments: str) -> str:
    finished = Git(Path.cwd()).run(*arguments)
    if finished.returncode:
        reason = finished.stderr.strip().splitlines()
        raise PrewiredError(
            f"The template at {address} cannot be reached ({reason[-1] if reason else 'unknown'}): "
            f"check your connection and `_src_path` in {ANSWERS}."
        )
    return finished.stdout


def git_address(address: str) -> str:
    """Return the address as git understands it; Copier also accepts short forms."""
    for short, long in (("gh:", "https://github.com/"), ("gl:", "https://gitlab.com/")):
        if address.startswith(short):
            return f"{long}{address.removeprefix(short)}.git"
    return address.removeprefix("git+")


def render(
    project: Project,
    version: str,
    folder: Path,
    *,
    data: Mapping[str, Any] | None = None,
    ask: bool = False,
) -> Path:
    """Render a version of the template with the answers of a project.

    Files that belong to the project alone are left out.

    Args:
        project: the project.
        version: tag or commit of the template.
        folder: a folder that does not exist.
        data: answers that replace those of the project.
        ask: whether to ask new questions; otherwise, they get their default.

    Raises:
        PrewiredError: the version does not exist, or an answer is invalid.
    """
    folder.mkdir()
    shutil.copy(project.folder / ANSWERS, folder)
    with explained(version):
        copier.run_recopy(
            folder,
            data=dict(data or {}),
            vcs_ref=version,
            defaults=not ask,
            skip_answered=True,
            overwrite=True,
            quiet=True,
            settings=copier.Settings(),
        )
    return folder


@contextmanager
def explained(version: str) -> Iterator[None]:
    """Run Copier without its warnings, and turn its errors into sentences.

    Raises:
        PrewiredError: the version does not exist, or an answer is invalid.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:  # Copier, Jinja and plumbum have no common base class
            raise PrewiredError(
                f"The template cannot be rendered at {version}: {_sentence(error)}"
            ) from None


def _sentence(error: Exception) -> str:
    """Return the sentence of a guard of the template, which Copier wraps."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix("'None' has no attribute ").strip("'\"")


def answers_in(folder: Path) -> dict[str, Any]:
    """Return the answers of a render."""
    found: dict[str, Any] = yaml.safe_load((folder / ANSWERS).read_text(encoding="utf-8"))
    return found
