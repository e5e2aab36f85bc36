"""Prepares an update: renders two releases of the template, and merges the difference."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prewired.errors import PrewiredError
from prewired.merging import Plan, merge
from prewired.notes import changes_between, owned_changes
from prewired.project import Project
from prewired.template import Answers, Template, asked, move_out, render, version_of


@dataclass(frozen=True)
class Update:
    """An update that has been computed, but not applied."""

    plan: Plan
    old: Answers
    """Answers of the project."""
    new: Answers
    """Answers after the update."""
    urgent: str
    """Breaking changes, with manual steps."""
    others: str
    """The other changes."""
    owned: Mapping[str, Sequence[str]]
    """The template's changes to files that are the owner's, as lines of a diff by path."""

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.plan.changes and not self.plan.conflicts


def prepare(
    project: Project,
    template: Template,
    version: str,
    data: Answers,
    *,
    ask: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Update:
    """Compute an update, without changing the project's files.

    Args:
        project: the project, which was checked.
        template: its template.
        version: the release to update to.
        data: answers that replace those of the project.
        ask: whether to ask new questions; otherwise, they get their default.
        progress: is called with what is being done.

    Raises:
        PrewiredError: the version does not exist or is older, or an answer is invalid.
    """
    known, old = asked(project.answers), project.answers["_commit"]
    before, after = version_of(old), version_of(version)
    if before and after and after < before:
        raise PrewiredError(f"The service has release {old}, which is newer than {version}.")
    template.text(old, "copier.yml")  # there is a sentence if the release does not exist
    with tempfile.TemporaryDirectory() as temporary:
        base, new, base_owned, new_owned = (
            Path(temporary, name) for name in ("base", "new", "base-owned", "new-owned")
        )
        progress(f"Rendering {old}")
        render(template.address, old, base, known)
        progress("" if ask else f"Rendering {version}")  # a question would follow on the same line
        answers = render(template.address, version, new, {**known, **data}, ask=ask)
        owned = template.rendered_once(
            version, known, lambda path: (base / path).exists() or project.has(path)
        )
        move_out(owned, base, base_owned)
        move_out(owned, new, new_owned)
        progress("Merging")
        plan = merge(project, base, new, owned)
        changes = changes_between(template.text(version, "CHANGELOG.md"), old, version)
        differences = owned_changes(base_owned, new_owned, project.folder)
    return Update(plan, project.answers, answers, *changes, differences)
