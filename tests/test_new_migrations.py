"""The migrations since the last release: they run, and their SQL is shown and linted."""

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

import pytest

from support.programs import Finished
from support.projects import Project
from support.questions import Combination, first_of, first_of_each_database
from support.rendering import git

pytestmark = pytest.mark.needs_server

MIGRATION = '''"""Change songs."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''

FAULTS = {
    "adding-field-with-default": (
        'default = sa.text("random()")\n'
        'op.add_column("songs", sa.Column("a", sa.Float, nullable=False, server_default=default))'
    ),
    "adding-required-field": ('op.add_column("songs", sa.Column("b", sa.Integer, nullable=False))'),
    "require-concurrent-index-creation": 'op.create_index("ix_songs_a", "songs", ["artist"])',
    "changing-column-type": 'op.alter_column("songs", "released_on", type_=sa.DateTime)',
    "disallowed-unique-constraint": 'op.create_unique_constraint("uq_x", "songs", ["title"])',
    "constraint-missing-not-valid": 'op.create_check_constraint("ck_x", "songs", "id > 0")',
    "ban-drop-column": 'op.drop_column("songs", "released_on")',
    "renaming-table": 'op.rename_table("songs", "tracks")',
}
"""Rules, and statements that lock a table for long, or break the version that still runs."""

SOUND = """with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY ix_songs_artist ON songs (artist)")
op.add_column("songs", sa.Column("a", sa.Float, nullable=True))
op.execute("-- squawk-ignore ban-drop-column\\\\nALTER TABLE songs DROP COLUMN released_on")
op.create_table("tags", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
op.create_index("ix_tags_name", "tags", ["name"])"""


@pytest.fixture
def make(make_project: Callable[..., Project], tmp_path: Path) -> Callable[[Combination], Project]:
    """A service with a release."""

    def make(combination: Combination) -> Project:
        project = make_project(tmp_path / "service", combination)
        project.sync()
        git(project.path, "init", "--quiet")
        git(project.path, "add", "--all")
        git(project.path, "commit", "--quiet", "--message=Release")
        git(project.path, "tag", "v1.0.0")
        return project

    return make


def released(project: Project) -> Path:
    """Return the only migration of the release."""
    (file,) = (project.path / "migrations" / "versions").glob("*.py")
    return file


def revision_of(text: str) -> str:
    """Return the ID in a migration."""
    return str(re.findall(r'revision(?:: str)? = "(\w+)"', text)[0])


def migration(
    down: str | tuple[str, ...] | None,
    *,
    revision: str = "aaaaaaaaaaaa",
    upgrade: str = "pass",
    downgrade: str = "pass",
) -> str:
    """Return the text of a migration."""
    return MIGRATION.format(
        revision=revision,
        down=down,
        upgrade=indent(upgrade, "    "),
        downgrade=indent(downgrade, "    "),
    )


def add(project: Project, upgrade: str, downgrade: str = "pass") -> None:
    """Add a migration after the one of the release."""
    down = revision_of(released(project).read_text("utf-8"))
    file = project.path / "migrations" / "versions" / "new.py"
    file.write_text(migration(down, upgrade=upgrade, downgrade=downgrade), encoding="utf-8")


def run(project: Project, *arguments: str) -> Finished:
    """Run the command."""
    return project.uv_run(*("python", "-m", "tests.core.new_migrations", *arguments), check=False)


@pytest.mark.parametrize("combination", first_of_each_database(), ids=str)
def test_only_new_migrations_are_shown(
    combination: Combination, make: Callable[[Combination], Project]
) -> None:
    """They run on top of the release, and the models must match them."""
    project = make(combination)

    nothing = run(project)
    assert (nothing.exit_code, nothing.stdout) == (0, ""), nothing.report()

    add(project, 'op.create_table("tags", sa.Column("id", sa.Integer, primary_key=True))')
    unknown = run(project, "v1.0.0")
    assert unknown.exit_code == 1
    assert "CREATE TABLE tags" in unknown.stdout
    assert "CREATE TABLE songs" not in unknown.stdout
    assert "New upgrade operations detected" in unknown.stderr

    (project.path / "migrations" / "versions" / "new.py").unlink()
    git(project.path, "tag", "--delete", "v1.0.0")
    unreleased = run(project)
    assert unreleased.exit_code == 0, unreleased.report()
    assert "CREATE TABLE songs" in unreleased.stdout


@pytest.mark.parametrize("left", ["migrations/versions/README", "migrations/env.py", "README.md"])
def test_commit_without_migrations_is_no_release(
    left: str, make: Callable[[Combination], Project]
) -> None:
    """All migrations are new, as in a service before its first one."""
    project = make(first_of("sqlite"))
    git(project.path, "switch", "--quiet", "--orphan", "base")
    (project.path / left).parent.mkdir(parents=True, exist_ok=True)
    (project.path / left).touch()
    git(project.path, "add", "--force", left)
    git(project.path, "commit", "--quiet", "--message=Base")
    git(project.path, "checkout", "--quiet", "--force", "v1.0.0")

    finished = run(project, "base")

    assert finished.exit_code == 0, finished.report()
    assert "CREATE TABLE songs" in finished.stdout


def test_parallel_migration_is_reverted_too(
    make: Callable[[Combination], Project],
) -> None:
    """It was written at the same time as the released one, and merged later."""
    project = make(first_of("sqlite"))
    first = revision_of(released(project).read_text("utf-8"))
    versions = project.path / "migrations" / "versions"
    broken = migration(None, downgrade="op.drop_table('none')")
    (versions / "parallel.py").write_text(broken, encoding="utf-8")
    merge = migration((first, "aaaaaaaaaaaa"), revision="bbbbbbbbbbbb")
    (versions / "merge.py").write_text(merge, encoding="utf-8")

    refused = run(project)
    assert refused.exit_code == 1, refused.report()
    assert "no such table: none" in refused.stderr

    (versions / "parallel.py").write_text(migration(None), encoding="utf-8")
    accepted = run(project)
    assert accepted.exit_code == 0, accepted.report()


def test_migration_before_a_released_one_is_refused(
    make: Callable[[Combination], Project],
) -> None:
    """Databases that have the released one never run it."""
    project = make(first_of("sqlite"))
    file = released(project)
    text = file.read_text("utf-8")
    assert "down_revision = None" in text or "down_revision: str | None = None" in text
    text = re.sub(r"^(down_revision.*) = None", r'\1 = "aaaaaaaaaaaa"', text, flags=re.MULTILINE)
    file.write_text(text, encoding="utf-8")
    file.with_name("earlier.py").write_text(migration(None), encoding="utf-8")

    refused = run(project)

    assert refused.exit_code == 1, refused.report()
    assert "Migration aaaaaaaaaaaa comes before" in refused.stderr


def test_comment_does_not_hide_the_end_of_a_statement(
    make: Callable[[Combination], Project],
) -> None:
    """The linter would miss a semicolon."""
    project = make(first_of("sqlite"))
    add(project, 'op.execute("CREATE TABLE a (id INTEGER) -- of nothing")')
    assert "-- of nothing\n;\n" in run(project).stdout


@pytest.mark.parametrize("combination", first_of_each_database(), ids=str)
def test_edited_migration_is_detected(
    combination: Combination, make: Callable[[Combination], Project]
) -> None:
    """A database that was migrated before would not get the change."""
    project = make(combination)
    for file in (released(project), project.path / "app" / "songs" / "models.py"):
        text = file.read_text(encoding="utf-8")
        assert "200" in text, file
        file.write_text(text.replace("200", "300"), encoding="utf-8")

    finished = run(project)

    assert finished.exit_code == 1
    assert "New upgrade operations detected" in finished.stderr


def lint(project: Project) -> list[str]:
    """Return the names of the rules that the new migrations violate."""
    printed = run(project).stdout
    linted = project.uv_run("squawk", "--reporter=gcc", stdin=printed, check=False)
    rules = re.findall(r"(?:warning|error): (\S+)", linted.stdout)
    assert linted.exit_code == bool(rules), linted.report()
    return rules


def test_dangerous_statements_are_found(make: Callable[[Combination], Project]) -> None:
    """Each violates a rule of squawk."""
    project = make(first_of("postgresql"))
    assert lint(project) == []

    add(project, "\n".join(FAULTS.values()))

    assert FAULTS.keys() <= set(lint(project))


def test_sound_statements_are_not_reported(make: Callable[[Combination], Project]) -> None:
    """An index is created outside of the transaction, and a comment excuses a statement."""
    project = make(first_of("postgresql"))
    add(project, SOUND)

    assert lint(project) == []


def test_first_migrations_are_not_reported(make: Callable[[Combination], Project]) -> None:
    """New tables can have indexes of any kind."""
    project = make(first_of("postgresql"))
    git(project.path, "tag", "--delete", "v1.0.0")

    assert lint(project) == []
    assert "CREATE INDEX" in run(project).stdout
