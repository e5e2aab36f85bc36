"""Renders of the template, through Copier's Python API, from a clean copy of the working tree."""

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
    """Let Copier render without the user's configuration, and without what takes most of its time.

    Copier runs git once for each rendered file, and compiles each template again for each render.
    Only the executable bit in a git index depends on the former, where git ignores that of files.
    """
    # Copier runs git through plumbum, which has its own copy of the environment.
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
    """Make a folder that several processes share, unless one of them has made it already.

    Args:
        path: where it is to be.
        make: fills a folder that does not exist yet, and is then moved to that place.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="new-") as folder:
            made = Path(folder, "made")
            make(made)
            try:
                made.rename(path)
            except OSError:
                # Another process was quicker, with the same result.
                assert path.exists()
    return path


class Renders:
    """Renders that are only read, so the same answers are rendered once, for all processes."""

    def __init__(self, template: Template, directory: Path) -> None:
        """Render that template below that directory."""
        self._template = template
        self._directory = directory

    def __call__(self, answers: Mapping[str, Answer]) -> Path:
        """Return the project for these answers, and the defaults of all other questions."""
        key = "\n".join(sorted(f"{name}={spelled(answer)}" for name, answer in answers.items()))
        path = self._directory / sha256(key.encode()).hexdigest()[:16]
        return once(path, lambda folder: self._template.render(folder, answers))


def snapshot(directory: Path) -> Template:
    """Commit and tag a copy of the working tree, so that renders are clean and know a version."""
    once(directory, _commit_working_tree)
    return Template(directory, version_tag(directory))


def _commit_working_tree(directory: Path) -> None:
    copy_working_tree(directory)
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit(directory, version_tag(directory))


def copy_working_tree(directory: Path) -> None:
    """Copy what `git add --all` would add; the working tree itself is left alone."""
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        # A file deleted from the working tree is still listed.
        if (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name, follow_symlinks=False)


def files_in(project: Path) -> list[Path]:
    """Return the files of a render, those of git excepted; there is always one."""
    files = sorted(
        path
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] != ".git"
    )
    # Whatever is looked for in nothing is not found.
    assert files, f"{project} has no files."
    return files


def texts_in(project: Path) -> dict[str, str]:
    """Return the text of each file of a render, by its path in it."""
    return {
        path.relative_to(project).as_posix(): path.read_text(encoding="utf-8")
        for path in files_in(project)
    }
