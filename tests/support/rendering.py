"""Renders of the template, through Copier's Python API, from a clean copy of the working tree."""

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import copier
import plumbum

from support.programs import environment, run
from support.questions import ROOT, Answer, read_questions

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


@dataclass(frozen=True)
class Template:
    """A throwaway git repository that holds the template and one tag for each release."""

    path: Path
    tag: str

    @cached_property
    def questions(self) -> frozenset[str]:
        """The names that a render may be given answers for."""
        return frozenset(read_questions(self.path / "copier.yml"))

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


def snapshot(directory: Path) -> Template:
    """Commit and tag a copy of the working tree, so that renders are clean and know a version.

    Copied is what `git add --all` would add; the working tree itself is left alone.
    """
    listed = run(
        *("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"),
        cwd=ROOT,
        # With the user's own configuration, which may say that this repository is safe.
        env=os.environ,
    )
    for name in filter(None, listed.stdout.split("\0")):
        # A file deleted from the working tree is still listed.
        if (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name, follow_symlinks=False)
    project = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tag = f"v{project['version']}"
    for arguments in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "--all", "--force"),
        ("commit", "--quiet", f"--message=Release {tag}"),
        ("tag", tag),
    ):
        run("git", *arguments, cwd=directory, env=environment(**COMMITTER))
    return Template(directory, tag)


def files_in(project: Path) -> list[Path]:
    """Return the files of a render."""
    return sorted(path for path in project.rglob("*") if path.is_file())
