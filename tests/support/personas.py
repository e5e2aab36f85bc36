"""Changes that owners make to a rendered project before updating it."""

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from support.projects import Project
from support.rendering import git

GROWN = Path(__file__).parents[1] / "personas" / "grown"
"""A feature with tests and a migration, in the layout of a project."""

Lines = dict[str, list[str]]
"""The lines that an owner added, by file."""


def read(project: Path) -> dict[str, str]:
    """Return the text of each file that git tracks or would add."""
    listed = git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    paths = {path for path in listed.split("\0") if path and (project / path).is_file()}
    return {path: (project / path).read_text(encoding="utf-8") for path in sorted(paths)}


def begin(project: Path) -> None:
    """Commit a fresh render."""
    git(project, "init", "--quiet", "--initial-branch=main")
    save(project)


def save(project: Path) -> None:
    """Commit everything."""
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "--message=Work")


def conflicts(project: Path) -> set[str]:
    """Return the files that git reports as conflicting; exactly these must have markers.

    Raises:
        AssertionError: markers and reported conflicts disagree.
    """
    reported = set(git(project, "diff", "--name-only", "--diff-filter=U").split())
    marked = {
        path for path, text in read(project).items() if re.search("^<{7} ", text, re.MULTILINE)
    }
    assert reported == marked, f"Reported: {reported}. Marked: {marked}."
    assert not list(project.rglob("*.rej"))
    return marked


def grow(project: Path) -> Lines:
    """Add a feature, including its parts in files shared with the template."""
    shutil.copytree(
        GROWN, project, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    if not (project / "app" / "songs").exists():
        versions = project / "migrations" / "versions"
        (revision,) = versions.glob("*_create_invoices.py")
        text = revision.read_text(encoding="utf-8")
        if any(versions.glob("*_create_users.py")):
            text = text.replace("8c3d2f5b9a41", "4b7e1c9d2f60")
        else:
            text = text.replace("Revises: 8c3d2f5b9a41", "Revises:")
            text = text.replace('= "8c3d2f5b9a41"', "= None")
        revision.write_text(text, encoding="utf-8")
    public = project / "tests" / "users" / "public_routes.txt"
    if public.exists():
        public.write_text(public.read_text(encoding="utf-8") + "POST /invoices\n", encoding="utf-8")
    # As `uv add` writes it. Until 0.10, owners added dependencies to the template's.
    pyproject = project / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    own = re.sub(
        r'^dependencies = \["(.+\[core\])"\]$',
        r'dependencies = [\n    "\1",\n]',
        text,
        flags=re.MULTILINE,
    )
    pyproject.write_text(own, encoding="utf-8")
    name = re.findall(r'^    (".+\[core\]")', own, re.MULTILINE) or ['"pydantic>=']
    additions = {
        "pyproject.toml": (f"    {name[0]}", '    "markupsafe>=3.0",\n'),
        "app/settings.py": ("", '\n    invoice_currency: str = "EUR"\n'),
        ".env.example": ("", "\n# The currency of new invoices.\n# INVOICE_CURRENCY=EUR\n"),
        "README.md": ("", "\n## Invoices\n\nSee `uv run <name> invoices --help`.\n"),
    }
    for path, (before, addition) in additions.items():
        insert(project / path, before, addition)
    return {path: addition.splitlines() for path, (_, addition) in additions.items()}


def insert(file: Path, before: str, addition: str) -> None:
    """Insert `addition` before the first line that starts with `before`, or at the end."""
    text = file.read_text(encoding="utf-8")
    position = text.index(before) if before else len(text)
    file.write_text(text[:position] + addition + text[position:], encoding="utf-8")


EDITS: Mapping[str, tuple[str, str]] = {
    "app/songs/router.py": ("There is no song with this id.", "No such song."),
    "app/core/settings.py": (
        "database_pool_size: int = Field(default=10, ge=1)",
        "database_pool_size: int = Field(default=25, ge=1)",
    ),
    "app/core/logs.py": ('method=scope["method"],', 'verb=scope["method"],'),
    "app/main.py": ("core.install(app, settings)", 'core.install(app, settings, prefix="/api")'),
    ".github/workflows/ci.yml": ("run: uv run pytest", "run: uv run pytest --maxfail=1"),
}
"""For each file, a line of the template and the owner's version of it."""


def edit(project: Path, without: Iterable[str] = ()) -> Lines:
    """Change lines owned by the template.

    Args:
        project: the project to change.
        without: files in EDITS that the project does not have.
    """
    lines: Lines = {}
    for path, (old, new) in EDITS.items():
        if path in without:
            assert not (project / path).exists(), f"{path} exists, but should not."
            continue
        text = (project / path).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} must contain {old!r} exactly once."
        (project / path).write_text(text.replace(old, new), encoding="utf-8")
        lines[path] = [new]
    return lines


PRUNED = ("tests/core/test_migrations.py", "LICENSE")
EXAMPLE = ("app/songs", "tests/songs")


def prune(project: Path, paths: Iterable[str]) -> None:
    """Delete files and folders, all of which must exist."""
    for path in paths:
        if (project / path).is_dir():
            shutil.rmtree(project / path)
        else:
            (project / path).unlink()


def reformat(project: Project) -> None:
    """Run the shipped formatter and fixer on everything."""
    project.uv_run("ruff", "format")
    project.uv_run("ruff", "check", "--fix")


def lost(project: Path, lines: Lines) -> list[str]:
    """Return the owner's lines that are missing from their files."""
    texts = read(project)
    return [
        f"{path}: {line}"
        for path, written in lines.items()
        for line in written
        if line not in texts.get(path, "")
    ]
