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
    bool, typer.Option("--defaults", help="Answer all other questions with their defaults.")
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
    """Create a service and its git repository."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise PrewiredError(f"{folder} exists and is not an empty folder: choose another one.")
    address = source or own_address()
    if Path(address).exists():  # a relative path would mean another folder later
        address = str(Path(address).resolve())
    elif "://" in address and not address.endswith(".git") and not address.startswith("git+"):
        address = f"git+{address}"
    with cloned(address) as template:
        version = to or template.newest
        questions = template.questions(version)
        if "rendered_before" not in questions:
            raise PrewiredError("Services of releases before 0.8 cannot be updated: omit --to.")
        given = _answers(data, questions)
    existed = folder.exists()
    try:
        answers = render(address, version, folder, given, ask=not defaults)
        _progress("Resolving the dependencies")
        advice = _put_under_version_control(folder)
    except BaseException:
        if existed:
            for entry in folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    _progress("")
    typer.echo(f"\n{answers['project_name']} is ready. {advice}")
    typer.echo(f"To start it:\n\n  cd {shlex.quote(str(folder))}")
    typer.echo(f"  uv run {answers['project_slug']} dev")


def _put_under_version_control(folder: Path) -> str:
    """Lock the dependencies and make the first commit; return what was done, or is left to do."""
    uv = shutil.which("uv")
    command = [uv or "uv", "lock", "--quiet"]
    is_locked = uv and not subprocess.call(command, cwd=folder, stderr=subprocess.DEVNULL)
    advice = "" if is_locked else " Run `uv lock`, which did not succeed, and commit uv.lock."
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
    # Git would make up an identity from the name of the machine, if it can.
    is_known = Git(folder, {"user.useConfigOnly": "true"}).succeeds("var", "GIT_COMMITTER_IDENT")
    if not is_known:
        return (
            "Commit it, because updates need its history: tell git who you are with `git config "
            "user.name` and `git config user.email`, and run `git commit -m 'Create the service'`."
        )
    committed = git.run("commit", "--quiet", "--message", "Create the service")
    if committed.returncode:
        reason = committed.stderr.strip().splitlines()[-1:] or ["git commit failed"]
        return f"Commit it, because updates need its history; git could not ({reason[0]})."
    return f"Its first commit is made.{advice}"


@app.command()
def update(
    data: Data = None, to: To = None, defaults: Defaults = False, diff: Diff = False
) -> None:
    """Update the service in this folder to a newer release, or to other answers."""
    project, prepared = _prepare(data, to, defaults)
    _explain(project, prepared, diff=diff)
    if prepared.nothing:
        return
    apply(project, prepared.plan)
    _advise_after(project, prepared)
    if prepared.plan.conflicts:
        raise typer.Exit(Exit.TO_RESOLVE)


def _advise_after(project: Project, prepared: Update) -> None:
    """Say what is left to do after an update."""
    plan = prepared.plan
    dropped = sorted(name for name, stages in plan.conflicts.items() if 3 not in stages)
    marked = sorted(plan.conflicts.keys() - {*dropped})
    lines = []
    if marked:
        lines.append(f"To resolve, between the markers <<<<<<< and >>>>>>>: {', '.join(marked)}.")
    if dropped:
        lines.append(f"Changed by you, but dropped by the template: {', '.join(dropped)}.")
        lines.append("Keep them with `git add`, or remove them with `git rm`.")
    if plan.conflicts:
        lines.append(f"Then run `git add`. To give up: `{project.give_up}`.")
    else:
        lines.append(f"Done. To give up: `{project.give_up}`.")
    if any(Path(name).name == "pyproject.toml" for name in plan.changes):
        lines.append("The dependencies may have changed: run `uv lock`.")
    if advice := _switched_users(prepared.old, prepared.new):
        lines.append(advice)
    lines.append("Review the changes with `git diff HEAD`, run the tests, and commit.")
    _advise("\n".join(lines))


@app.command()
def preview(
    data: Data = None, to: To = None, defaults: Defaults = False, diff: Diff = False
) -> None:
    """Show what an update would do, and change nothing."""
    project, prepared = _prepare(data, to, defaults)
    _explain(project, prepared, diff=diff)
    check_way(project, prepared.plan)
    if prepared.plan.conflicts:
        _advise(f"To resolve: {', '.join(sorted(prepared.plan.conflicts))}.")
        raise typer.Exit(Exit.TO_RESOLVE)


@app.command()
def status() -> None:
    """Show the release, the answers, and the changes to the template's files."""
    project = _project()
    answers = project.answers
    version = answers["_commit"]
    with cloned(answers["_src_path"]) as template, tempfile.TemporaryDirectory() as temporary:
        typer.echo(f"Release {version}, newest {template.newest}, of {template.address}")
        others = choices(template.questions(template.newest), answers)
        owned = template.rendered_once(version, answers)
        base = Path(temporary, "base")
        render(template.address, version, base, asked(answers))
        move_out(owned, base, Path(temporary, "owned"))
        own = own_changes(project, base)
    for name in answers["_answered"]:
        answer = answers[name]
        more = f" (or {', '.join(others[name])})" if name in others else ""
        typer.echo(f"  {name}: {answer}{more}")
    typer.echo(f"Changes of yours to the template's files: {len(own)}")
    for name in own:
        typer.echo(f"  {name}")


def _project() -> Project:
    """Return the service in this folder, after undoing an update that was interrupted."""
    project = Project(Path.cwd())
    project.check_git()
    if project.recover():
        _advise("An update was interrupted: what it had changed is undone.")
    project.check()
    return project


def _prepare(data: list[str] | None, to: str | None, defaults: bool) -> tuple[Project, Update]:
    """Prepare an update of the service in this folder."""
    project = _project()
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
    releases = [old["_commit"], *([] if new["_commit"] == old["_commit"] else [new["_commit"]])]
    typer.echo(f"{new['project_name']}, {' to '.join(releases)}")
    changes = project.root("diff-tree", "-p", plan.before, plan.after) if diff else ""
    for title, text in (
        ("Breaking changes", prepared.urgent),
        ("Changes", prepared.others),
        (
            "Changes of the template to files that are yours: take what you want",
            _diff(_shortened(prepared.owned, whole=diff)),
        ),
        ("Changed lines", _diff(changes)),
        ("Answers", _changed_answers(old, new)),
        ("Files", indent(_changed_files(plan), " " * 4)),
    ):
        if text.strip():
            typer.echo(f"\n# {title}\n\n{text}")


def _switched_users(old: Answers, new: Answers) -> str | None:
    """Return what to do after the users of a service were switched on or off."""
    before, after = (answers.get("auth", "none") for answers in (old, new))
    if before == after:
        return None
    run = f"uv run {new['project_slug']} db"
    if after == "none":
        return (
            "The service no longer has users: delete app/users and tests/users, and what uses "
            "them elsewhere. Then drop the tables:\n"
            f'{run} revision -m "drop users" && {run} upgrade'
        )
    return (
        "The service now has users. In production, it needs TOKEN_SECRET, FRONTEND_URL, SMTP_HOST "
        "and MAIL_FROM (see .env.example). Create the tables:\n"
        f'{run} upgrade && {run} revision -m "create users" && {run} upgrade\n'
        "Protect your routes, or list them in tests/users/public_routes.txt: a test asks for it."
    )


def _diff(text: str) -> str:
    """Return a diff as a block of code in Markdown; it can contain other blocks."""
    return f"````diff\n{text.rstrip()}\n````" if text else ""


LONGEST = 30
"""Lines that are shown of the diff of a file, unless all are asked for."""


def _shortened(changes: Mapping[str, Sequence[str]], *, whole: bool) -> str:
    lines: list[str] = []
    for name, changed in changes.items():
        lines += changed if whole else changed[:LONGEST]
        if not whole and len(changed) > LONGEST:
            lines.append(f"... {len(changed) - LONGEST} more lines in {name}: --diff shows them")
    return "\n".join(lines)


def _changed_answers(old: Answers, new: Answers) -> str:
    lines = []
    for name in new["_answered"]:
        answer = new[name]
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
            raise PrewiredError(f"--data {item} has no answer: write --data NAME=ANSWER.")
        if name not in names:
            raise PrewiredError(f"There is no question {name}: use {', '.join(names)}.")
        is_bool = questions[name].get("type") == "bool"
        answers[name] = yaml.safe_load(answer) if is_bool else answer
    return answers


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
    except (PrewiredError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(Exit.REFUSED)
    except SystemExit as end:
        if end.code == Exit.STOPPED:  # Typer turns Ctrl-C into this code
            typer.echo("Stopped: nothing was changed.", err=True)
        raise
