"""Renders of a clean copy of the working tree, through Copier's Python API."""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePath
from types import CodeType
from unittest import mock

import copier
import jinja2
import plumbum
import yaml
from copier._main import Worker

from support.options import spelled
from support.programs import environment, run
from support.root import ROOT, Answer

COMMITTER = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (
        ("NAME", "Meta suite"),
        ("EMAIL", "meta@example.com"),
        # Fixed values, so that the same tree always gets the same commit.
        ("DATE", "2000-01-01T00:00:00Z"),
    )
}


def folders_first(path: PurePath) -> list[tuple[bool, str]]:
    """Return a sort key that orders relative paths like a tree, folders first."""
    *folders, name = path.parts
    return [*((False, folder) for folder in folders), (True, name)]


def git(directory: Path, *arguments: str) -> str:
    """Run git in this repository or a temporary one, and return its output."""
    # In this repository, the user's configuration can mark it as safe; elsewhere, it could
    # sign commits, run hooks or convert line endings.
    env = os.environ if directory == ROOT else environment(**COMMITTER)
    return run("git", *arguments, cwd=directory, env=env).stdout


def commit(directory: Path, tag: str) -> None:
    """Commit all files in `directory` and tag the commit."""
    git(directory, "add", "--all", "--force")
    git(directory, "commit", "--quiet", "--allow-empty", f"--message={tag}")
    git(directory, "tag", tag)


def version_tag(directory: Path) -> str:
    """Return the tag for the template's version in `directory`."""
    project = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"v{project['version']}"


@dataclass(frozen=True)
class Template:
    """A temporary Git repository with the template and one tag per release."""

    path: Path
    tag: str

    @cached_property
    def questions(self) -> frozenset[str]:
        """The names of the questions that can be answered."""
        text = git(self.path, "show", f"{self.tag}:copier.yml")
        return frozenset(name for name in yaml.safe_load(text) if not name.startswith("_"))

    def render(self, destination: Path, answers: Mapping[str, Answer] | None = None) -> Path:
        """Render into `destination`; unanswered questions use their defaults."""
        answers = dict(answers or {})
        # Copier would silently ignore a misspelled name and render the default.
        if unknown := answers.keys() - self.questions:
            msg = f"copier.yml has no question: {', '.join(sorted(unknown))}."
            raise ValueError(msg)
        with quick_copier():
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


@contextmanager
def quick_copier() -> Iterator[None]:
    """Run Copier without the user's configuration and without its slowest steps.

    Copier runs git for each rendered file, only to set the executable bit in a git index that
    ignores file modes, and recompiles each template for each render.
    """
    # plumbum, which Copier uses to run git, has its own copy of the environment.
    with (
        plumbum.local.env(GIT_CONFIG_GLOBAL=os.devnull),
        mock.patch.object(Worker, "_sync_git_index_executable_bit"),
        mock.patch.object(jinja2.Environment, "compile", _compile_once),
    ):
        yield


COMPILE: Callable[..., CodeType] = jinja2.Environment.compile
COMPILED: dict[tuple[object, ...], CodeType] = {}


def _compile_once(
    self: jinja2.Environment, source: str, name: str | None = None, *_: object
) -> CodeType:
    key = (source, name, self.keep_trailing_newline, self.trim_blocks, self.lstrip_blocks)
    if key not in COMPILED:
        COMPILED[key] = COMPILE(self, source, name)
    return COMPILED[key]


def once(path: Path, make: Callable[[Path], object]) -> Path:
    """Create a folder shared by several processes, unless one of them already has.

    Args:
        path: the folder.
        make: fills a new folder, which is then moved to `path`.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="new-") as folder:
            made = Path(folder, "made")
            make(made)
            try:
                made.rename(path)
            except OSError:
                # Another process was faster, with the same result.
                assert path.exists()
    return path


class Renders:
    """Read-only renders: the same answers are rendered once for all processes."""

    def __init__(self, template: Template, directory: Path) -> None:
        """Render `template` into subfolders of `directory`."""
        self._template = template
        self._directory = directory

    def __call__(self, answers: Mapping[str, Answer]) -> Path:
        """Return the project for these answers, with defaults for all other questions."""
        key = "\n".join(sorted(f"{name}={spelled(answer)}" for name, answer in answers.items()))
        path = self._directory / sha256(key.encode()).hexdigest()[:16]
        return once(path, lambda folder: self._template.render(folder, answers))


def snapshot(directory: Path) -> Template:
    """Commit and tag a copy of the working tree, so that renders are clean and have a version."""
    once(directory, _commit_working_tree)
    return Template(directory, version_tag(directory))


def _commit_working_tree(directory: Path) -> None:
    copy_working_tree(directory)
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit(directory, version_tag(directory))


def copy_working_tree(directory: Path) -> None:
    """Copy the files that `git add --all` would add."""
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        # Files deleted from the working tree are still listed.
        if (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name, follow_symlinks=False)


def files_in(project: Path) -> list[Path]:
    """Return the files of a render, except git's own; at least one must exist."""
    files = sorted(
        path
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] != ".git"
    )
    # A check of no files would always pass.
    assert files, f"{project} has no files."
    return files


def texts_in(project: Path) -> dict[str, str]:
    """Return the text of each file in a render, by relative path."""
    return {
        path.relative_to(project).as_posix(): path.read_text(encoding="utf-8")
        for path in files_in(project)
    }
