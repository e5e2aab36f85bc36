"""The template's releases, derived from the Git history instead of tags."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import copier
import jinja2
import yaml
from jinja2.environment import TemplateExpression

from prewired.merging import apply
from prewired.project import Project
from prewired.template import cloned
from prewired.updating import prepare
from support.questions import Question, computed, environment_of
from support.rendering import (
    Template,
    commit,
    copy_working_tree,
    git,
    once,
    quick_copier,
    version_tag,
)
from support.root import ROOT, Answer


def release_commits(repository: Path = ROOT) -> dict[str, str]:
    """Return the first commit of each version, oldest first.

    Raises:
        RuntimeError: the clone is shallow and lacks the release history.
    """
    if git(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
        msg = (
            "This clone is shallow and lacks the releases that updates start from: "
            "run `git fetch --unshallow`, or clone the full history (fetch-depth: 0)."
        )
        raise RuntimeError(msg)
    listed = git(
        repository, "log", "--first-parent", "--reverse", "--format=%H", "--", "pyproject.toml"
    )
    releases: dict[str, str] = {}
    for sha in listed.split():
        project = tomllib.loads(git(repository, "show", f"{sha}:pyproject.toml")).get("project")
        if project:
            releases.setdefault(project["version"], sha)
    return releases


@dataclass(frozen=True)
class History:
    """A temporary repository with a tag per release, and the working tree as the newest release."""

    path: Path
    releases: tuple[str, ...]
    """The tags of the releases, oldest first."""
    target: str
    """The tag of the working tree."""

    @cached_property
    def current(self) -> Template:
        """The working tree's template."""
        return Template(self.path, self.target)

    def at(self, tag: str) -> Template:
        """Return the template as released under that tag."""
        return Template(self.path, tag)

    def update(
        self, project: Path, tag: str | None = None, data: dict[str, Any] | None = None
    ) -> None:
        """Update a committed project like `prewired update --defaults`."""
        updated = Project(project)
        updated.check()
        updated.check_clean()
        with quick_copier(), cloned(updated.answers["_src_path"]) as template:
            prepared = prepare(updated, template, tag or self.target, data or {})
        apply(updated, prepared.plan)

    def update_by_copier(
        self, project: Path, tag: str | None = None, data: dict[str, Any] | None = None
    ) -> None:
        """Update a committed project like `copier update --defaults`."""
        self._again(copier.run_update, project, tag, data)

    def recopy(self, project: Path, data: dict[str, Any] | None = None) -> None:
        """Rerender a committed project in place, with its existing answers."""
        self._again(copier.run_recopy, project, None, data)

    def _again(
        self,
        run: Callable[..., object],
        project: Path,
        tag: str | None,
        data: dict[str, Any] | None,
    ) -> None:
        with quick_copier():
            run(
                project,
                data=data,
                vcs_ref=tag or self.target,
                defaults=True,
                overwrite=True,
                quiet=True,
                settings=copier.Settings(),
            )


def read_history(directory: Path) -> History:
    """Clone this repository, tag its releases, and add the working tree as the newest."""
    releases = release_commits()
    tags = tuple(f"v{version}" for version in releases)

    def make(folder: Path) -> None:
        git(ROOT, "clone", "--quiet", "--no-tags", "--no-checkout", str(ROOT), str(folder))
        for tag, sha in zip(tags, releases.values(), strict=True):
            git(folder, "tag", tag, sha)
        git(folder, "symbolic-ref", "HEAD", "refs/heads/working-tree")
        copy_working_tree(folder)
        _make_older(folder)
        commit(folder, SYNTHETIC)
        copy_working_tree(folder)
        add_release(folder, tags)

    once(directory, make)
    return History(directory, *_targets(directory, tags))


SYNTHETIC = "v0.0.1"
"""A fictional release: the working tree without some lines and files."""


def _make_older(directory: Path) -> None:
    """Undo changes typical of a release: three new files, and changed lines in three others."""
    template = directory / "template"
    (template / "tests" / "core" / "test_settings.py").unlink()
    # New files in the owner's folders must not appear for owners who have deleted these.
    (template / "{% if example %}.{% endif %}" / "app" / "songs" / "README.md.jinja").unlink()
    users = template / "{% if auth == 'jwt' %}.{% endif %}" / "app" / "users"
    (users / "mails" / "address_changed.html").unlink()
    for name, new, old in (
        ("app/core/limits.py", "Limits for requests.", "Limits of requests."),
        ("app/core/README.md.jinja", "# Manual\n", "# Handbook\n"),
        # Belongs to the owner.
        ("app/settings.py", "Settings of the service.", "The settings."),
    ):
        text = (template / name).read_text(encoding="utf-8")
        assert text.count(new) == 1, f"{name} must contain {new!r} exactly once."
        (template / name).write_text(text.replace(new, old), encoding="utf-8")


def add_release(directory: Path, releases: tuple[str, ...]) -> History:
    """Commit the files in `directory` as the target of updates from `releases`."""
    older, target = _targets(directory, releases)
    commit(directory, target)
    return History(directory, older, target)


def _targets(directory: Path, releases: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return the releases to update from, and the tag of the files in `directory`."""
    target = version_tag(directory)
    if target in releases:
        # The working tree is ahead of the last release.
        target += ".post1"
    return releases, target


OVERLAY = re.compile(r"\{% if (?P<condition>[^%]+) %\}\.\{% endif %\}/")
ANSWERS_FILE = "{{ _copier_conf.answers_file }}"
UPDATE_ONLY = re.compile(
    r"\{% if (?:\w+ is defined and \()?_copier_operation == 'update' or rendered_before\)? %\}"
    r"/?(?P<pattern>.+)\{% endif %\}"
)


@dataclass(frozen=True)
class Manifest:
    """The parts of a release that projects rely on."""

    files: dict[str, str]
    """The paths in template/; for migrations, also their text."""
    settings: dict[str, Any]
    """copier.yml."""
    includes: dict[str, str]
    """The contents of included files, by path in the repository."""

    @cached_property
    def questions(self) -> dict[str, Question]:
        """All questions, asked or computed."""
        return {
            name: Question(name, details)
            for name, details in self.settings.items()
            if not name.startswith("_")
        }

    @property
    def combinations(self) -> list[dict[str, Answer]]:
        """All combinations of answers to questions with choices."""
        asked = {name: q for name, q in self.questions.items() if not q.computed}
        with_answers = {name: q.answers for name, q in asked.items() if q.answers}
        return [
            dict(zip(with_answers, answers, strict=True))
            for answers in product(*with_answers.values())
        ]

    def paths(self, answers: Mapping[str, Answer]) -> frozenset[str]:
        """Return the paths rendered for these answers and the defaults of other questions."""
        values = computed(self.questions, answers, self._environment)
        return frozenset(
            self._name(path)
            for path in self.files
            if not (overlay := OVERLAY.match(path)) or _condition(overlay["condition"])(values)
        )

    @cached_property
    def _environment(self) -> jinja2.Environment:
        return environment_of(jinja2.DictLoader(self.includes))

    @property
    def revisions(self) -> dict[str, set[str]]:
        """The texts of each migration, by path; they can depend on the answers."""
        texts: dict[str, set[str]] = {}
        for path, text in self.files.items():
            if (name := self._name(path)).startswith(REVISIONS):
                texts.setdefault(name, set()).add(text)
        return texts

    @staticmethod
    def _name(path: str) -> str:
        name = OVERLAY.sub("", path).replace(ANSWERS_FILE, ".copier-answers.yml")
        assert "{" not in name, f"Unsupported file name: {path}"
        return name.removesuffix(".jinja")

    @property
    def kept(self) -> list[str]:
        """Patterns of files that an update never changes, deletes or restores."""
        entries = map(UPDATE_ONLY.fullmatch, self.settings.get("_exclude", []))
        return [entry["pattern"] for entry in entries if entry]

    def keeps(self, path: str) -> bool:
        """Return whether updates leave the path alone."""
        return any(path == pattern or path.startswith(f"{pattern}/") for pattern in self.kept)


REVISIONS = "migrations/versions/"


@cache
def _condition(text: str) -> TemplateExpression:
    environment = jinja2.Environment()  # noqa: S701 - not HTML
    return environment.compile_expression(text)


def read_manifest(template: Template) -> Manifest:
    """Read a release's manifest without rendering it."""

    def names(folder: str) -> list[str]:
        listed = git(template.path, "ls-tree", "-r", "-z", "--name-only", template.tag, folder)
        return [name for name in listed.split("\0") if name]

    def text(name: str) -> str:
        return git(template.path, "show", f"{template.tag}:{name}")

    files = {name: text(name) if REVISIONS in name else "" for name in names("template/")}
    return Manifest(
        {name.removeprefix("template/"): content for name, content in files.items()},
        yaml.safe_load(text("copier.yml")),
        {name: text(name) for name in names("includes/")},
    )


def broken_promises(old: Manifest, new: Manifest) -> list[str]:
    """Return a sentence for each thing that an update would take away from a project."""
    gone = {
        path
        for answers in old.combinations
        for path in old.paths(answers) - new.paths(answers)
        if not new.keeps(path)
    }
    broken = [
        f"{path} is missing: updates would delete the owner's changes; keep it, or list it under "
        "_exclude for updates."
        for path in sorted(gone)
    ]
    broken += [
        f"{path} is no longer under _exclude: updates would restore the file or conflict with it."
        for path in old.kept
        if path not in new.kept
    ]
    added = {
        path
        for answers in old.combinations
        for path in new.paths(answers) - old.paths(answers)
        if path.endswith(".py") and not new.keeps(path)
    }
    broken += [
        f"{path} is a new module outside of core: an owner can have one of this name."
        for path in sorted(added)
        if not path.startswith(("app/core/", "tests/core/"))
    ]
    broken += [
        f"{path} was released and must not change: write another revision."
        for path, texts in old.revisions.items()
        if not texts <= new.revisions.get(path, texts)
    ]
    defaults = {name: str(q.details.get("default", "")) for name, q in new.questions.items()}
    guard = defaults.pop("answers_guard", "") + new.includes.get("includes/guard.jinja", "")
    for name, question in old.questions.items():
        if question.computed:
            continue
        if name not in new.questions:
            mentioned = re.compile(rf"\b{name}\b").search
            if not any(map(mentioned, defaults.values())):
                broken.append(f"The question {name} is missing: its answer would be lost.")
            continue
        still = new.questions[name].answers
        retired = [str(answer) for answer in question.answers if answer not in still]
        if retired and f"'{name}'" not in guard:
            broken.append(
                f"{name} no longer has the choice {', '.join(retired)}, and answers_guard does not "
                "know it: the answer would silently become the default."
            )
    broken += [
        f"{name} requires --trust."
        for name in ("_tasks", "_jinja_extensions")
        if new.settings.get(name)
    ]
    broken += [
        "A migration without a version requires --trust."
        for migration in new.settings.get("_migrations", [])
        if not (isinstance(migration, dict) and migration.get("version"))
    ]
    return broken
