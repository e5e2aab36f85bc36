"""The template's releases, derived from the history: no tag is needed, and none is trusted."""

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
    """Return the first commit of each version, from the oldest release to the newest.

    Raises:
        RuntimeError: the clone is shallow, so nobody knows what was released.
    """
    if git(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
        msg = (
            "This clone is shallow, so it does not have the releases that updates start from: "
            "run `git fetch --unshallow`, or clone with the whole history (fetch-depth: 0)."
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
    """A throwaway repository with a tag for each release, and the working tree as the newest."""

    path: Path
    releases: tuple[str, ...]
    """The tags of the releases, from the oldest to the newest."""
    target: str
    """The tag of the working tree."""

    @cached_property
    def current(self) -> Template:
        """The working tree's template."""
        return Template(self.path, self.target)

    def at(self, tag: str) -> Template:
        """Return the template as it was released under that tag."""
        return Template(self.path, tag)

    def update(
        self, project: Path, tag: str | None = None, data: dict[str, Any] | None = None
    ) -> None:
        """Update a committed project as `copier update --defaults` would."""
        self._again(copier.run_update, project, tag, data)

    def recopy(self, project: Path, data: dict[str, Any] | None = None) -> None:
        """Render a committed project anew, with the answers that it has, over what is there."""
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
    """Clone this repository, tag its releases, and add the working tree as one more."""
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
"""A release that never was: the working tree, but for some lines and files."""


def _make_older(directory: Path) -> None:
    """Take back what a release could have brought: two files, and lines of two others."""
    template = directory / "template"
    (template / "tests" / "core" / "test_settings.py").unlink()
    # A file that is new in the example must not come back to who has deleted the example.
    (template / "{% if example %}.{% endif %}" / "app" / "songs" / "README.md.jinja").unlink()
    for name, new, old in (
        ("app/core/limits.py", "Limits for requests.", "Limits of requests."),
        ("README.md.jinja", "## Start\n", "## Begin\n"),
    ):
        text = (template / name).read_text(encoding="utf-8")
        assert text.count(new) == 1, f"{name} has no single {new!r}."
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
        # What came after a release, and is none yet.
        target += ".post1"
    return releases, target


OVERLAY = re.compile(r"\{% if (?P<condition>[^%]+) %\}\.\{% endif %\}/")
ANSWERS_FILE = "{{ _copier_conf.answers_file }}"
UPDATE_ONLY = re.compile(
    r"\{% if _copier_operation == 'update' or rendered_before %\}(?P<pattern>.+)\{% endif %\}"
)


@dataclass(frozen=True)
class Manifest:
    """What projects of one release rely on."""

    files: dict[str, str]
    """The paths below template/, and the text of those that are migrations."""
    settings: dict[str, Any]
    """copier.yml."""
    includes: dict[str, str]
    """What is included from other files, by their paths in the repository."""

    @cached_property
    def questions(self) -> dict[str, Question]:
        """What is asked, and what is computed."""
        return {
            name: Question(name, details)
            for name, details in self.settings.items()
            if not name.startswith("_")
        }

    @property
    def combinations(self) -> list[dict[str, Answer]]:
        """Every answer to every question that has choices, each with each."""
        asked = {name: q for name, q in self.questions.items() if not q.computed}
        with_answers = {name: q.answers for name, q in asked.items() if q.answers}
        return [
            dict(zip(with_answers, answers, strict=True))
            for answers in product(*with_answers.values())
        ]

    def paths(self, answers: Mapping[str, Answer]) -> frozenset[str]:
        """Return what is rendered for these answers, and the defaults of other choices."""
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
    def revisions(self) -> dict[str, str]:
        """The migrations and their texts."""
        named = {self._name(path): text for path, text in self.files.items()}
        return {path: text for path, text in named.items() if path.startswith(REVISIONS)}

    @staticmethod
    def _name(path: str) -> str:
        name = OVERLAY.sub("", path).replace(ANSWERS_FILE, ".copier-answers.yml")
        assert "{" not in name, f"A name that this suite cannot read: {path}"
        return name.removesuffix(".jinja")

    @property
    def kept(self) -> list[str]:
        """The patterns of files that an update neither changes, deletes nor brings back."""
        entries = map(UPDATE_ONLY.fullmatch, self.settings.get("_exclude", []))
        return [entry["pattern"] for entry in entries if entry]

    def keeps(self, path: str) -> bool:
        """Whether an update leaves the path alone."""
        return any(path == pattern or path.startswith(f"{pattern}/") for pattern in self.kept)


REVISIONS = "migrations/versions/"


@cache
def _condition(text: str) -> TemplateExpression:
    environment = jinja2.Environment()  # noqa: S701 - a condition is no HTML
    return environment.compile_expression(text)


def read_manifest(template: Template) -> Manifest:
    """List what a release has, without rendering it."""

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
    """Say what an update from `old` to `new` would take away from a project, a sentence each."""
    gone = {
        path
        for answers in old.combinations
        for path in old.paths(answers) - new.paths(answers)
        if not new.keeps(path)
    }
    broken = [
        f"{path} is gone: what an owner changed in it would be deleted; keep it, or list it under "
        "_exclude for updates."
        for path in sorted(gone)
    ]
    broken += [
        f"{path} was released and is not the same: write another revision."
        for path, text in old.revisions.items()
        if new.revisions.get(path, text) != text
    ]
    defaults = {name: str(q.details.get("default", "")) for name, q in new.questions.items()}
    guard = defaults.pop("answers_guard", "") + new.includes.get("includes/guard.jinja", "")
    for name, question in old.questions.items():
        if question.computed:
            continue
        if name not in new.questions:
            mentioned = re.compile(rf"\b{name}\b").search
            if not any(map(mentioned, defaults.values())):
                broken.append(f"The question {name} is gone: its answer would be forgotten.")
            continue
        still = new.questions[name].answers
        retired = [str(answer) for answer in question.answers if answer not in still]
        if retired and f"'{name}'" not in guard:
            broken.append(
                f"{name} has no choice {', '.join(retired)} any more, and answers_guard does not "
                "know it: the answer would silently become the default."
            )
    broken += [
        f"{name} would require --trust."
        for name in ("_tasks", "_jinja_extensions")
        if new.settings.get(name)
    ]
    broken += [
        "A migration without a version would require --trust."
        for migration in new.settings.get("_migrations", [])
        if not (isinstance(migration, dict) and migration.get("version"))
    ]
    return broken
