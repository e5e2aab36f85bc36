"""The command line."""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer
import yaml

from prewired.errors import PrewiredError
from prewired.git import Git
from prewired.merging import Plan, apply, check_way
from prewired.notes import choices, own_changes
from prewired.project import Project
from prewired.template import Answers, asked, cloned, move_out, render
from prewired.updating import Update, prepare

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
Diff = Annotated[bool, typer.Option("--diff", help="Show all changed lines.")]
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
    with cloned(address) as template:
        version = to or template.newest
        given = _answers(data, template.questions(version))
    existed = folder.exists()
    try:
        answers = render(address, version, folder, given, ask=not defaults)
    except BaseException:
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    _progress("Resolving the dependencies")
    kept = _keep(folder)
    _progress("")
    typer.echo(f"\n{answers['project_name']} is ready. {kept}")
    typer.echo(f"To start it:\n\n  cd {shlex.quote(str(folder))}")
    typer.echo(f"  uv run {answers['project_slug']} dev")


def _keep(folder: Path) -> str:
    """Lock the dependencies, put a new service under version control, and say what was done."""
    if uv := shutil.which("uv"):
        command = [uv, "lock", "--quiet"]
        subprocess.run(command, cwd=folder, check=False, capture_output=True)
    git = Git(folder)
    if git.succeeds("rev-parse", "--is-inside-work-tree"):
        root = git("rev-parse", "--show-toplevel").rstrip("\n")
        if git.succeeds("check-ignore", "--quiet", "."):
            return (
                f"It is in the git repository {root}, which ignores it: move it elsewhere, run "
                "`git init` and commit it, because updates need its history."
            )
        return f"It is in the git repository {root}: commit it there."
    git("init", "--quiet")
    git("add", "--all")
    # Without an identity, git makes one up from the name of the machine, or fails.
    if not git.succeeds("config", "user.email"):
        return (
            "Commit it, because updates need its history: tell git who you are with `git config "
            "user.name` and `git config user.email`, and run `git commit -m 'Create the service'`."
        )
    git("commit", "--quiet", "--message", "Create the service")
    return "Its first commit is made."


@app.command()
def update(
    data: Data = None, to: To = None, defaults: Defaults = False, diff: Diff = False
) -> None:
    """Update the service in this folder to a newer release, or to other answers."""
    project, prepared = _prepare(data, to, defaults)
    _explain(project, prepared, diff=diff)
    if prepared.nothing:
        return
    check_way(project, prepared.plan)
    apply(project, prepared.plan)
    conflicts = prepared.plan.conflicts
    if conflicts:
        _advise(
            f"To resolve, between the markers <<<<<<< and >>>>>>>: {_names(conflicts)}.\n"
            "Then run `git add` and commit. To give up: `git reset --hard`."
        )
        raise typer.Exit(Exit.TO_RESOLVE)
    _advise("Done. Review it with `git diff --cached`, run the tests, and commit.")


@app.command()
def preview(
    data: Data = None, to: To = None, defaults: Defaults = False, diff: Diff = False
) -> None:
    """Show what an update would do, and change nothing."""
    project, prepared = _prepare(data, to, defaults)
    _explain(project, prepared, diff=diff)
    check_way(project, prepared.plan)
    if prepared.plan.conflicts:
        _advise(f"To resolve: {_names(prepared.plan.conflicts)}.")
        raise typer.Exit(Exit.TO_RESOLVE)


@app.command()
def status() -> None:
    """Show the release, the answers, and the changes to the template's files."""
    project = Project(Path.cwd())
    project.check()
    answers = project.answers
    version = answers["_commit"]
    with cloned(answers["_src_path"]) as template, tempfile.TemporaryDirectory() as temporary:
        typer.echo(f"Release {version}, newest {template.newest}, of {template.address}")
        others = choices(template.questions(template.newest), answers)
        base = Path(temporary, "base")
        render(template.address, version, base, asked(answers))
        move_out(template.rendered_once(version), base, Path(temporary, "owned"))
        own = own_changes(project, base)
    for name, answer in asked(answers).items():
        more = f" (or {', '.join(others[name])})" if name in others else ""
        typer.echo(f"  {name}: {answer}{more}")
    typer.echo(f"Your changes to the template's files: {', '.join(own) or 'none'}")


def _prepare(data: list[str] | None, to: str | None, defaults: bool) -> tuple[Project, Update]:
    """Prepare an update of the service in this folder."""
    project = Project(Path.cwd())
    project.check()
    project.check_clean()
    _progress("Fetching the template")
    with cloned(project.answers["_src_path"]) as template:
        version = to or template.newest
        given = _answers(data, template.questions(version))
        update = prepare(project, template, version, given, ask=not defaults, progress=_progress)
    _progress("")
    return project, update


def _explain(project: Project, prepared: Update, *, diff: bool) -> None:
    """Print what an update changes, in Markdown, breaking changes first.

    Args:
        project: the project.
        prepared: its update.
        diff: whether to show all changed lines.
    """
    old, new, plan = prepared.old, prepared.new, prepared.plan
    if prepared.nothing:
        typer.echo(f"{new['project_name']} is up to date ({new['_commit']}).")
        return
    typer.echo(f"{new['project_name']}: {old['_commit']} to {new['_commit']}")
    changes = project.root("diff-tree", "-p", plan.before, plan.after) if diff else ""
    for title, text in (
        ("Breaking changes", prepared.urgent),
        ("Changes", prepared.others),
        (
            "Changes of the template to files that are yours: take what you want",
            _diff(_owned_changes(prepared.owned, whole=diff)),
        ),
        ("Changed lines", _diff(changes)),
        ("Answers", _changed_answers(old, new)),
        ("Files", indent(_changed_files(plan), " " * 4)),
    ):
        if text.strip():
            typer.echo(f"\n# {title}\n\n{text}")
    if any(Path(name).name == "pyproject.toml" for name in plan.changes):
        _advise("Run `uv lock` afterwards: pyproject.toml changes.")


def _diff(text: str) -> str:
    """Return a diff as a block of code in Markdown; it can contain other blocks."""
    return f"````diff\n{text.rstrip()}\n````" if text else ""


LONGEST = 30
"""Lines that are shown of the diff of a file, unless all are asked for."""


def _owned_changes(changes: Mapping[str, Sequence[str]], *, whole: bool) -> str:
    lines: list[str] = []
    for name, changed in changes.items():
        lines += changed if whole else changed[:LONGEST]
        if not whole and len(changed) > LONGEST:
            lines.append(f"... {len(changed) - LONGEST} more lines in {name}: --diff shows them")
    return "\n".join(lines)


def _changed_answers(old: Answers, new: Answers) -> str:
    lines = []
    for name, answer in asked(new).items():
        if name not in old:
            lines.append(f"- {name}: {answer}, a new question")
        elif answer != old[name]:
            lines.append(f"- {name}: {answer}, before: {old[name]}")
    return "\n".join(lines)


def _changed_files(plan: Plan) -> str:
    lines = [
        f"{'conflict' if name in plan.conflicts else LETTERS.get(kind, kind):9} {name}"
        for name, kind in sorted({**dict.fromkeys(plan.conflicts, "M"), **plan.changes}.items())
    ]
    lines += [
        f"{'deleted':9} {name} stays deleted; the template changed it" for name in plan.stay_deleted
    ]
    return "\n".join(lines)


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
        return url2pathname(urlsplit(url).path)
    raise PrewiredError("The address of the template is unknown: add --from ADDRESS.")


def _answers(data: list[str] | None, questions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers given as NAME=ANSWER.

    Raises:
        PrewiredError: an item has another form, or there is no such question.
    """
    names = [name for name, details in questions.items() if details.get("when") is not False]
    answers = {}
    for item in data or []:
        name, separator, answer = item.partition("=")
        if not separator:
            raise PrewiredError(f"--data {item} is no answer: write --data NAME=ANSWER.")
        if name not in names:
            raise PrewiredError(f"There is no question {name}: use {', '.join(names)}.")
        answers[name] = yaml.safe_load(answer) if answer in ("true", "false") else answer
    return answers


def _names(conflicts: dict[str, Any]) -> str:
    return ", ".join(sorted(conflicts))


def _advise(text: str) -> None:
    """Say what to do next; standard output is for what changes, such as a pull request's text."""
    typer.echo(f"\n{text}", err=True)


def _progress(text: str) -> None:
    """Show what is being done, in a terminal; the next text replaces it."""
    if sys.stderr.isatty():
        erase_line = "\r\x1b[2K"
        typer.echo(f"{erase_line}{text} ..." if text else erase_line, nl=False, err=True)


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
