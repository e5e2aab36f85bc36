"""The command line."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import copier
import typer
import yaml

from prewired.errors import PrewiredError
from prewired.git import Git
from prewired.merging import Plan, apply, check_way, merge
from prewired.notes import Notes, choices, fetched, read_notes
from prewired.project import ANSWERS, Project
from prewired.template import answers_in, explained, git_address, newest_release, render

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    REFUSED = 1
    """Nothing was changed."""
    TO_RESOLVE = 3
    """The update is done, and left conflicts to resolve."""
    STOPPED = 130
    """Stopped by Ctrl-C; nothing was changed."""


Data = Annotated[
    list[str] | None,
    typer.Option("--data", "-d", metavar="NAME=ANSWER", help="An answer; can be repeated."),
]
To = Annotated[str | None, typer.Option(help="Release to render; by default, the newest.")]
Defaults = Annotated[
    bool, typer.Option("--defaults", help="Answer new questions with their defaults.")
]
Source = Annotated[
    str | None,
    typer.Option("--from", help="Address of the template; by default, that of this command."),
]


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="Folder of the new service.")],
    data: Data = None,
    to: To = None,
    defaults: Defaults = False,
    source: Source = None,
) -> None:
    """Create a service, in a git repository of its own."""
    if folder.exists() and any(folder.iterdir()):
        raise PrewiredError(f"{folder} is not empty: choose another folder.")
    address = source or own_address()
    if Path(address).exists():  # a relative path would mean another folder later
        address = str(Path(address).resolve())
    version = to or newest_release(git_address(address)) or "HEAD"
    with explained(version):
        copier.run_copy(
            address,
            folder,
            data=_answers(data),
            vcs_ref=version,
            defaults=defaults,
            quiet=True,
            settings=copier.Settings(),
        )
    answers = answers_in(folder)
    typer.echo(f"\n{answers['project_name']} is ready. {_keep(folder)}")
    typer.echo(f"To start it:\n\n  cd {folder}\n  uv run {answers['project_slug']} dev")


def _keep(folder: Path) -> str:
    """Put a new service under version control, and say what was done."""
    git = Git(folder)
    if git.succeeds("rev-parse", "--is-inside-work-tree"):
        return "It is in a git repository: commit it."
    git("init", "--quiet")
    if uv := shutil.which("uv"):
        subprocess.run(
            [uv, "lock", "--quiet"],
            cwd=folder,
            check=False,
            capture_output=True,
        )
    git("add", "--all")
    # Without an identity, git makes one up from the name of the machine, or fails.
    if not git.succeeds("config", "user.email"):
        return "Tell git who you are, and commit it."
    git("commit", "--quiet", "--message", "Create the service")
    return "Its first commit is made."


@app.command()
def update(data: Data = None, to: To = None, defaults: Defaults = False) -> None:
    """Update the service in this folder to a newer release, or to other answers."""
    with _planned(data, to, defaults) as (project, prepared):
        _explain(prepared)
        if prepared.nothing:
            return
        check_way(project, prepared.plan)
        apply(project, prepared.plan)
    conflicts = prepared.plan.conflicts
    if conflicts:
        typer.echo(f"\nTo resolve, between the markers <<<<<<< and >>>>>>>: {_names(conflicts)}.")
        typer.echo("Then run `git add` and commit. To give up: `git reset --hard`.")
        raise typer.Exit(Exit.TO_RESOLVE)
    typer.echo("\nDone. Review it with `git diff --cached`, run the tests, and commit.")


@app.command()
def preview(
    data: Data = None,
    to: To = None,
    defaults: Defaults = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show the changed lines.")] = False,
) -> None:
    """Show what an update would do, and change nothing."""
    with _planned(data, to, defaults) as (project, prepared):
        _explain(prepared)
        if diff and not prepared.nothing:
            typer.echo(project.root("diff", prepared.plan.before, prepared.plan.after))
        check_way(project, prepared.plan)
        if prepared.plan.conflicts:
            typer.echo(f"\nTo resolve: {_names(prepared.plan.conflicts)}.")
            raise typer.Exit(Exit.TO_RESOLVE)


@app.command()
def status() -> None:
    """Show the release, the answers, and the changes to the template's files."""
    project = Project(Path.cwd())
    project.check()
    answers = project.answers
    address = git_address(answers["_src_path"])
    newest = newest_release(address)
    typer.echo(f"Release {answers['_commit']}, newest {newest or 'unknown'}, of {address}")
    with fetched(address, newest or "") as git:
        shown = git("show", f"refs/tags/{newest}:copier.yml") if git and newest else "{}"
    others = choices(yaml.safe_load(shown), answers)
    for name, answer in answers.items():
        if not name.startswith("_"):
            more = f" (or {', '.join(others[name])})" if name in others else ""
            typer.echo(f"  {name}: {answer}{more}")
    with tempfile.TemporaryDirectory() as temporary:
        base = render(project, answers["_commit"], Path(temporary, "base"))
        plan = merge(project, base, base)
        own = _own_changes(project, base, plan)
    typer.echo(f"Your changes to the template's files: {', '.join(own) or 'none'}")


def _own_changes(project: Project, base: Path, plan: Plan) -> list[str]:
    changed = []
    for file in sorted(path for path in base.rglob("*") if path.is_file()):
        name = file.relative_to(base).as_posix()
        held = project.root.run("cat-file", "blob", f"{plan.before}:{project.prefix}{name}")
        if held.returncode:
            changed.append(f"{name} (deleted)")
        elif held.stdout != file.read_text(encoding="utf-8") and name != ANSWERS:
            changed.append(name)
    return changed


@dataclass(frozen=True)
class Prepared:
    """An update that has been computed, but not applied."""

    plan: Plan
    old: dict[str, Any]
    """Answers of the project."""
    new: dict[str, Any]
    """Answers after the update."""
    notes: Notes

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.plan.changes and not self.plan.conflicts


@contextmanager
def _planned(
    data: list[str] | None, to: str | None, defaults: bool
) -> Iterator[tuple[Project, Prepared]]:
    project = Project(Path.cwd())
    project.check()
    old = project.answers
    address = git_address(old["_src_path"])
    newest = to or newest_release(address) or "HEAD"
    _progress(f"Comparing {old['_commit']} with {newest} ...")
    with tempfile.TemporaryDirectory() as temporary:
        base = render(project, old["_commit"], Path(temporary, "base"))
        new = render(project, newest, Path(temporary, "new"), data=_answers(data), ask=not defaults)
        plan = merge(project, base, new)
        answers = answers_in(new)
    notes = read_notes(address, old["_commit"], newest)
    yield project, Prepared(plan, old, answers, notes)


def _explain(prepared: Prepared) -> None:
    """Print what an update changes, breaking changes first."""
    old, new, notes = prepared.old, prepared.new, prepared.notes
    if prepared.nothing:
        typer.echo(f"{new['project_name']} is up to date ({new['_commit']}).")
        return
    typer.echo(f"{new['project_name']}: {old['_commit']} to {new['_commit']}")
    for title, text in (
        ("Breaking changes", notes.urgent),
        ("Changes", notes.others),
        ("Changes of the template to files that are yours: take what you want", notes.owned),
    ):
        if text:
            typer.echo(f"\n# {title}\n\n{text}")
    asked = [name for name in new if not name.startswith("_") and new[name] != old.get(name)]
    if asked:
        typer.echo("\n# Answers\n")
        for name in asked:
            before = f", before: {old[name]}" if name in old else ", a new question"
            typer.echo(f"{name}: {new[name]}{before}")
    typer.echo("\n# Files\n")
    for name, kind in sorted(prepared.plan.changes.items()):
        mark = "conflict" if name in prepared.plan.conflicts else LETTERS.get(kind, kind)
        typer.echo(f"{mark:9} {name}")
    for name in prepared.plan.stay_deleted:
        typer.echo(f"{'deleted':9} {name} stays deleted; the template changed it")
    if any(Path(name).name == "pyproject.toml" for name in prepared.plan.changes):
        typer.echo("\nRun `uv lock` afterwards: pyproject.toml changes.")


LETTERS = {"A": "new", "D": "deleted", "M": "changed"}


def own_address() -> str:
    """Return the address of the template that this command comes from (PEP 610).

    Raises:
        PrewiredError: it is unknown.
    """
    try:
        found = distribution("prewired")
        record = json.loads(found.read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        record = {}
    url = record.get("url", "")
    if "vcs_info" in record:
        return url if url.endswith(".git") else f"git+{url}"
    if "dir_info" in record:
        return unquote(urlsplit(url).path)
    raise PrewiredError("The address of the template is unknown: add --from ADDRESS.")


def _answers(data: list[str] | None) -> dict[str, Any]:
    answers = {}
    for item in data or []:
        name, separator, answer = item.partition("=")
        if not separator:
            raise PrewiredError(f"--data {item} is no answer: write --data NAME=ANSWER.")
        answers[name] = yaml.safe_load(answer) if answer in ("true", "false") else answer
    return answers


def _names(conflicts: dict[str, Any]) -> str:
    return ", ".join(sorted(conflicts))


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        typer.echo(text, err=True)


def run() -> None:
    """Run the command; expected errors are one sentence."""
    try:
        app()
    except PrewiredError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(Exit.REFUSED)
    except KeyboardInterrupt:
        typer.echo("Stopped: nothing was changed.", err=True)
        sys.exit(Exit.STOPPED)
