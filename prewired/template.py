"""The template's repository, and renders of its releases."""

import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import copier
import yaml
from packaging.version import InvalidVersion, Version

from prewired.errors import PrewiredError
from prewired.git import Git
from prewired.project import ANSWERS

Answers = Mapping[str, Any]

RENDERED_ONCE = re.compile(
    r"\{% if (?:(?P<since>\w+) is defined and \()?"
    r"_copier_operation == 'update' or rendered_before\)? %\}/?(?P<path>.+)\{% endif %\}"
)
"""An entry of `_exclude` in copier.yml for a file or folder that belongs to the owner.

If it belongs to an answer, `since` is the line in the answers file that is there since the
answer was first given. Until then, an update can add the path.
"""


@dataclass(frozen=True)
class Template:
    """A clone of the template's repository."""

    address: str
    """The address, in any form that Copier accepts."""
    git: Git

    @cached_property
    def newest(self) -> str:
        """The tag of the newest release; HEAD if there is none."""
        versions = {}
        for tag in self.git("tag", "--list").split():
            version = version_of(tag)
            if version is not None and not version.is_prerelease:
                versions[version] = tag
        return versions[max(versions)] if versions else "HEAD"

    def text(self, version: str, path: str) -> str:
        """Return the text of a file in the repository.

        Raises:
            PrewiredError: the version does not exist, or does not have the file.
        """
        finished = self.git.run("show", f"{version}:{path}")
        if finished.returncode:
            raise PrewiredError(f"The template at {self.address} has no release {version}.")
        return finished.stdout

    def questions(self, version: str) -> dict[str, Any]:
        """Return the questions of a version, by name."""
        settings = self._settings(version)
        return {name: value for name, value in settings.items() if not name.startswith("_")}

    def rendered_once(
        self, version: str, answers: Answers, is_known: Callable[[str], bool] = lambda _: True
    ) -> list[str]:
        """Return the files and folders that belong to the owner of a project with these answers.

        Args:
            version: tag or commit of the template.
            answers: answers of the project.
            is_known: returns whether the project, or the render of its release, has a path. What
                belongs to an answer is rendered again if the owner deleted it while the answer
                was another one.
        """
        entries = map(RENDERED_ONCE.fullmatch, self._settings(version).get("_exclude", []))
        return [
            entry["path"]
            for entry in entries
            if entry
            and (entry["since"] is None or (entry["since"] in answers and is_known(entry["path"])))
        ]

    def _settings(self, version: str) -> dict[str, Any]:
        settings: dict[str, Any] = yaml.safe_load(self.text(version, "copier.yml"))
        return settings


def asked(answers: Answers) -> dict[str, Any]:
    """Return the answers to questions, without what Copier notes about the template."""
    return {name: answer for name, answer in answers.items() if not name.startswith("_")}


def version_of(text: str) -> Version | None:
    """Return the version that a tag or a heading names, or None."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


@contextmanager
def cloned(address: str) -> Iterator[Template]:
    """Clone the template's repository into a temporary folder.

    Raises:
        PrewiredError: the template cannot be reached.
    """
    with tempfile.TemporaryDirectory() as folder:
        git = Git(Path(folder))
        finished = git.run("clone", "--quiet", "--bare", "--", git_address(address), ".")
        if finished.returncode:
            said = finished.stderr.strip().splitlines() or ["git clone failed"]
            raise PrewiredError(
                f"The template at {address} cannot be reached ({said[-1]}): check your connection "
                f"and the address. That of a service is `_src_path` in {ANSWERS}."
            )
        yield Template(address, git)


def git_address(address: str) -> str:
    """Return the address as git understands it; Copier also accepts short forms."""
    for short, long in (("gh:", "https://github.com/"), ("gl:", "https://gitlab.com/")):
        if address.startswith(short):
            path = address.removeprefix(short).removeprefix("/").removesuffix(".git")
            return f"{long}{path}.git"
    return address.removeprefix("git+")


def render(
    address: str, version: str, folder: Path, answers: Answers, *, ask: bool = False
) -> Answers:
    """Render a version of the template, and return all answers.

    Args:
        address: address of the template.
        version: tag or commit of the template.
        folder: a folder that does not exist, or is empty.
        answers: answers to some of the questions.
        ask: whether to ask the other questions; otherwise, they get their default.

    Raises:
        PrewiredError: the version does not exist, or an answer is invalid.
    """
    with _explained(version):
        copier.run_copy(
            address,
            folder,
            data=dict(answers),
            vcs_ref=version,
            defaults=not ask,
            quiet=True,
            settings=copier.Settings(),
        )
    found: Answers = yaml.safe_load((folder / ANSWERS).read_text(encoding="utf-8"))
    return found


@contextmanager
def _explained(version: str) -> Iterator[None]:
    """Run Copier without its warnings, and turn its errors into sentences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except KeyboardInterrupt:  # one of Copier's errors is both
            raise
        except Exception as error:  # Copier, Jinja and plumbum have no common base class
            text = " ".join(str(error).split()) or type(error).__name__
            # The guards of the template stop Copier with an attribute of None.
            sentence = text.removeprefix("'None' has no attribute ").strip("'\"")
            if "Interactive session required" in sentence:
                sentence = "there is no terminal to ask in: add --defaults."
            raise PrewiredError(
                f"The template cannot be rendered at {version}: {sentence}"
            ) from None


def move_out(paths: Iterable[str], folder: Path, to: Path) -> None:
    """Move files and folders, by their relative paths; some may not exist."""
    to.mkdir()
    for path in paths:
        if (folder / path).exists():
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / path, to / path)
