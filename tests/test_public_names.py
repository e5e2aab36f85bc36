"""Public names do not vanish, or change, without a word in the changelog."""

import shutil
from pathlib import Path

import pytest

from prewired.notes import changes_between
from support.public import RECORD, names, record, subject, unannounced
from support.releases import release_commits
from support.rendering import Renders, git
from support.root import ROOT

OLD = """\
app.core.install(app, settings, prefix = '')
app.core.version(name)
class app.core.Base
fixture client ()
fixture engine (scope='session')
"""


def test_record_is_current(render: Renders) -> None:
    """`uv run tools/regenerate.py` writes it."""
    assert RECORD.read_text(encoding="utf-8") == record(render)


def test_what_vanished_since_the_last_release_is_in_the_changelog() -> None:
    """Until 1.0, a breaking change is enough; it names what an owner has to change."""
    *_, (version, commit) = release_commits().items()
    path = RECORD.relative_to(ROOT).as_posix()
    if not git(ROOT, "ls-tree", commit, "--", path):
        return  # the first release with a record has nothing to compare
    old = git(ROOT, "show", f"{commit}:{path}")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    # Unreleased changes count as those of a release that is later than all others.
    breaking, _ = changes_between(changelog.replace("[Unreleased]", "[9999]"), version, "9999")

    assert unannounced(old, RECORD.read_text(encoding="utf-8"), breaking) == []


@pytest.mark.parametrize(
    ("new", "breaking", "found"),
    [
        (OLD, "", []),
        (f"{OLD}app.core.more()\n", "", []),
        (OLD.replace("prefix = ''", "prefix = '/'"), "", ["app.core.install"]),
        (OLD.replace("prefix = ''", "prefix"), "- `install` requires a prefix.", []),
        (OLD.replace("class app.core.Base\n", ""), "- `Model` is now `Base`.", []),
        (OLD.replace("fixture client ()\n", ""), "", ["fixture client"]),
        (OLD.replace("(scope='session')", "()"), "- Nothing.", ["fixture engine"]),
    ],
)
def test_vanished_names_are_found(new: str, breaking: str, found: list[str]) -> None:
    """Parameters, defaults and scopes are parts of a name."""
    assert [
        line.partition(" (")[0].partition("(")[0] for line in unannounced(OLD, new, breaking)
    ] == found


def test_record_has_every_kind_of_name(render: Renders) -> None:
    """A kind that is no longer found would not be missed otherwise."""
    lines = set(record(render).splitlines())

    assert lines >= {
        "app.core.SessionDep",
        "app.core.install(app, settings, prefix = '')",
        "class app.core.Base",
        "command db upgrade (revision = 'head')",
        "fixture client ()",
        "fixture engine (scope='session')",
    }
    assert "database_pool_size" in map(subject, lines)


def test_names_of_a_changed_service_differ(render: Renders, tmp_path: Path) -> None:
    """The record is read from the code of a service."""
    project = render({})
    changed = Path(shutil.copytree(project, tmp_path / "changed"))
    kit = changed / "tests" / "core" / "__init__.py"
    text = kit.read_text(encoding="utf-8")
    kit.write_text(text.replace("async def client(", "async def customer("), encoding="utf-8")

    assert set(names(project)) ^ set(names(changed)) == {"fixture client ()", "fixture customer ()"}
