"""Renders of the template, through Copier's Python API, from a clean copy of the working tree."""

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

import copier
import plumbum
import yaml

from support.programs import environment, run
from support.root import ROOT, Answer

COMMITTER = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (
        ("NAME", "Meta suite"),
        ("EMAIL", "meta@example.com"),
        # Fixed, so that the same tree always has the same commit.
        ("DATE", "2000-01-01T00:00:00Z"),
    )
}


def folders_first(path: PurePath) -> list[tuple[bool, str]]:
    """Return what to sort relative paths by, so that they are in the order of a tree."""
    *folders, name = path.parts
    return [*((False, folder) for folder in folders), (True, name)]


def git(directory: Path, *arguments: str) -> str:
    """Run git, for this repository or a throwaway one, and return what it printed."""
    # The user's own configuration may say that this repository is safe; elsewhere it would
    # sign commits, run hooks or convert line endings.
    env = os.environ if directory == ROOT else environment(**COMMITTER)
    return run("git", *arguments, cwd=directory, env=env).stdout


def commit(directory: Path, tag: str) -> None:
    """Commit all files in `directory` and tag the commit."""
    git(directory, "add", "--all", "--force")
    git(directory, "commit", "--quiet", "--allow-empty", f"--message={tag}")
    git(directory, "tag", tag)


def version_tag(directory: Path) -> str:
    """Return the tag for the version of the template in `directory`."""
    project = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"v{project['version']}"


@dataclass(frozen=True)
class Template:
    """A throwaway git repository that holds the template and one tag for each release."""

    path: Path
    tag: str

    @cached_property
    def questions(self) -> frozenset[str]:
        """The names that a render may be given answers for."""
        text = git(self.path, "show", f"{self.tag}:copier.yml")
        return frozenset(name for name in yaml.safe_load(text) if not name.startswith("_"))

    def render(self, destination: Path, answers: Mapping[str, Answer] | None = None) -> Path:
        """Render into `destination`; questions without an answer take their defaults."""
        answers = dict(answers or {})
        # Copier would accept a misspelt name in silence and render the default.
        if unknown := answers.keys() - self.questions:
            msg = f"copier.yml does not ask for: {', '.join(sorted(unknown))}."
            raise ValueError(msg)
        # The user's own git configuration and Copier settings must not change what is tested.
        # Copier runs git through plumbum, which has a copy of the environment of its own.
        with plumbum.local.env(GIT_CONFIG_GLOBAL=os.devnull):
            copier.run_copy(
                str(self.path),
                destination,
                data=answers,
                vcs_ref=self.tag,
                defaults=True,
                quiet=True,
                settings=copier.Settings(),
            )
        return destination


class Renders:
    """Renders that are only read, so the same answers are rendered once."""

    def __init__(self, template: Template, directory: Path) -> None:
        """Render that template below that directory."""
        self._template = template
        self._directory = directory
        self._made: dict[frozenset[tuple[str, Answer]], Path] = {}

    def __call__(self, answers: Mapping[str, Answer]) -> Path:
        """Return the project for these answers, and the defaults of all other questions."""
        key = frozenset(answers.items())
        if key not in self._made:
            path = self._directory / f"render-{len(self._made)}" / "service"
            self._made[key] = self._template.render(path, answers)
        return self._made[key]


def snapshot(directory: Path) -> Template:
    """Commit and tag a copy of the working tree, so that renders are clean and know a version."""
    copy_working_tree(directory)
    git(directory, "init", "--quiet", "--initial-branch=main")
    tag = version_tag(directory)
    commit(directory, tag)
    return Template(directory, tag)


def copy_working_tree(directory: Path) -> None:
    """Copy what `git add --all` would add; the working tree itself is left alone."""
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        # A file deleted from the working tree is still listed.
        if (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name, follow_symlinks=False)


def files_in(project: Path) -> list[Path]:
    """Return the files of a render, those of git excepted."""
    return sorted(
        path
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] != ".git"
    )


def texts_in(project: Path) -> dict[str, str]:
    """Return the text of each file of a render, by its path in it."""
    return {
        path.relative_to(project).as_posix(): path.read_text(encoding="utf-8")
        for path in files_in(project)
    }
