"""`copier update`, from each release to the working tree, of projects that their owners changed."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from support import interpreters, personas
from support.checks import migrate, run_static_checks, run_tests
from support.databases import DatabaseServer
from support.environments import Environments
from support.personas import begin, conflicts, grow, lost, read, save
from support.projects import Project
from support.questions import Combination, first_of_each_database, product_of
from support.releases import (
    History,
    Manifest,
    broken_promises,
    read_manifest,
    release_commits,
)
from support.rendering import Template, git, texts_in
from support.root import ROOT

try:
    RELEASES: dict[str, Manifest] = {
        f"v{version}": read_manifest(Template(ROOT, commit))
        for version, commit in release_commits().items()
    }
except RuntimeError as error:
    raise pytest.Collector.CollectError(str(error)) from None

BETWEEN = 6
"""The most releases that are tried besides the oldest and the newest, so that the time the suite
takes does not grow with the template's age."""


def sampled(releases: Mapping[str, Manifest]) -> Iterator[tuple[str, Combination]]:
    """Choose journeys: the oldest and the newest release in full, some of the others in turn.

    Those others are spread evenly, and have one combination each.
    """
    tags = list(releases)
    others = tags[1:-1]
    chosen = others[:: max(1, math.ceil(len(others) / BETWEEN))]
    for number, tag in enumerate(tags):
        combinations = product_of(releases[tag].questions.values())
        if tag in (tags[0], tags[-1]):
            yield from ((tag, combination) for combination in combinations)
        elif tag in chosen:
            yield tag, combinations[number % len(combinations)]


JOURNEYS = [
    pytest.param(tag, combination, id=f"{tag}-{combination}")
    for tag, combination in sampled(RELEASES)
]
journeys = pytest.mark.parametrize(("tag", "combination"), JOURNEYS)

Start = Callable[..., Project]
Servers = Callable[[Combination], DatabaseServer]


@pytest.fixture(scope="session")
def manifest(history: History) -> Manifest:
    """What the working tree has."""
    return read_manifest(history.current)


@pytest.fixture
def start(
    history: History, settings: dict[str, str], environments: Environments, tmp_path: Path
) -> Start:
    """Render a release, and keep the project in git."""

    def make(tag: str, combination: Combination, name: str = "service", **more: str) -> Project:
        path = tmp_path / name
        history.at(tag).render(path, {**combination.answers, **more})
        begin(path)
        return Project(path, interpreters.at_least(interpreters.WANTED[0]), settings, environments)

    return make


def fresh(
    history: History, manifest: Manifest, combination: Combination, project: Path, **more: str
) -> dict[str, str]:
    """Return a fresh render of the working tree; what updates leave alone is as in `project`."""
    path = project.with_name("fresh")
    history.current.render(path, {**combination.answers, **more})
    new = {name: text for name, text in texts_in(path).items() if not manifest.keeps(name)}
    return new | {name: text for name, text in read(project).items() if manifest.keeps(name)}


@journeys
def test_untouched(
    tag: str,
    combination: Combination,
    history: History,
    manifest: Manifest,
    start: Start,
) -> None:
    """The result is what a newcomer gets, byte for byte."""
    project = start(tag, combination)
    before = read(project.path)

    history.update(project.path)

    after = read(project.path)
    assert after == fresh(history, manifest, combination, project.path)
    kept = {path: text for path, text in before.items() if manifest.keeps(path)}
    assert {path: after.get(path) for path in kept} == kept


@pytest.mark.needs_server
@journeys
def test_grown(
    tag: str, combination: Combination, history: History, start: Start, servers: Servers
) -> None:
    """What the owner added is all there, and works with what the template brought."""
    project = start(tag, combination)
    written = grow(project.path)
    save(project.path)
    own = {path: text for path, text in read(project.path).items() if "invoices" in path}
    assert own

    history.update(project.path)

    assert conflicts(project.path) == set()
    assert lost(project.path, written) == []
    assert {path: text for path, text in read(project.path).items() if path in own} == own
    check(project, servers(combination))


def check(project: Project, server: DatabaseServer) -> None:
    """Run all that the project checks itself with."""
    project.sync()
    run_static_checks(project)
    run_tests(project.with_settings(TEST_DATABASE_URL=server.url))
    migrate(project, server)


@journeys
def test_edited(tag: str, combination: Combination, history: History, start: Start) -> None:
    """Each changed line is merged, or in a conflict that names its file."""
    project = start(tag, combination)
    written = personas.edit(project.path)
    save(project.path)

    history.update(project.path)

    assert lost(project.path, written) == []
    assert conflicts(project.path) <= written.keys()


@journeys
def test_pruned(
    tag: str,
    combination: Combination,
    history: History,
    manifest: Manifest,
    start: Start,
) -> None:
    """What the owner deleted stays deleted; the rest is updated."""
    project = start(tag, combination, license="MIT")
    personas.prune(project.path)
    save(project.path)

    history.update(project.path)

    wanted = fresh(history, manifest, combination, project.path, license="MIT")
    for path in personas.PRUNED:
        assert not (project.path / path).exists()
        wanted.pop(path, None)
    assert read(project.path) == wanted


@journeys
def test_formatted(
    tag: str,
    combination: Combination,
    history: History,
    manifest: Manifest,
    start: Start,
) -> None:
    """The shipped formatter changes nothing that an update could collide with."""
    project = start(tag, combination)
    personas.reformat(project)
    (project.path / "uv.lock").unlink()
    save(project.path)

    history.update(project.path)

    assert read(project.path) == fresh(history, manifest, combination, project.path)


@journeys
def test_two_years_late(tag: str, combination: Combination, history: History, start: Start) -> None:
    """One jump over all releases in between gives what each in turn gives."""
    jump, steps = start(tag, combination, "jump"), start(tag, combination, "steps")
    for project in (jump, steps):
        grow(project.path)
        save(project.path)

    history.update(jump.path)
    later = [*history.releases, history.target]
    for release in later[later.index(tag) + 1 :]:
        history.update(steps.path, release)
        save(steps.path)

    assert read(jump.path) == read(steps.path)


SWITCHES = [
    pytest.param(after, before, id=f"{after.database}-after-{before.database}")
    for after, before in permutations(first_of_each_database(), 2)
]


@pytest.mark.needs_server
@pytest.mark.parametrize(("combination", "before"), SWITCHES)
def test_another_database(
    combination: Combination,
    before: Combination,
    history: History,
    start: Start,
    servers: Servers,
) -> None:
    """The owner's feature and its tests work on the other database, and nothing of it is lost."""
    project = start(history.target, before)
    written = grow(project.path)
    save(project.path)

    history.update(project.path, data={"database": combination.database})

    assert conflicts(project.path) == set()
    assert lost(project.path, written) == []
    assert project.slug in (project.path / "README.md").read_text(encoding="utf-8")
    check(project, servers(combination))


OTHER_ANSWERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"license": "MIT"}, {"license": "proprietary"}),
    ({"license": "proprietary"}, {"license": "Apache-2.0"}),
    ({"python_version": "3.11"}, {"python_version": "3.12"}),
    ({"ci": "github"}, {"ci": "none"}),
    ({"ci": "none"}, {"ci": "github"}),
    ({"example": True}, {"example": False}),
    ({"example": False}, {"example": True}),
    ({"project_name": "Old name", "project_slug": "name"}, {"project_name": "New name"}),
]


@pytest.mark.parametrize(
    ("before", "after"), OTHER_ANSWERS, ids=lambda answers: "-".join(map(str, answers.values()))
)
def test_another_answer(
    before: dict[str, Any],
    after: dict[str, Any],
    history: History,
    manifest: Manifest,
    tmp_path: Path,
) -> None:
    """The project becomes what it would have been, and the owner's lines are still there."""
    project = tmp_path / "service"
    history.current.render(project, before)
    begin(project)
    written = grow(project)
    save(project)
    kept = {path: text for path, text in read(project).items() if manifest.keeps(path)}

    history.update(project, data=after)

    # The licence is the README's last section, and the owner has written another right below it.
    assert conflicts(project) <= ({"README.md"} if "license" in after else set())
    assert lost(project, written) == []
    changed = read(project)
    assert {path: changed.get(path) for path in kept} == kept
    history.current.render(tmp_path / "fresh", {**before, **after})
    for path, text in texts_in(tmp_path / "fresh").items():
        if path not in written and not manifest.keeps(path):
            assert changed[path] == text


@pytest.mark.parametrize("tag", RELEASES)
def test_nothing_that_was_released_is_taken_away(tag: str, manifest: Manifest) -> None:
    """Paths, questions, choices and revisions stay, or their owners are kept from harm."""
    assert broken_promises(RELEASES[tag], manifest) == []


def test_the_manifest_is_what_is_rendered(
    history: History, manifest: Manifest, tmp_path: Path
) -> None:
    """The names below template/ are understood as Copier understands them."""
    for number, combination in enumerate(product_of(manifest.questions.values())):
        project = history.current.render(tmp_path / str(number), combination.answers)
        assert texts_in(project).keys() == manifest.paths(combination.answers)


@pytest.mark.parametrize(("number", "tried"), [(1, 1), (2, 2), (8, 8), (9, 6), (30, 8)])
def test_the_number_of_journeys_is_bounded(number: int, tried: int, manifest: Manifest) -> None:
    """The oldest and the newest release are always among them, with every combination."""
    tags = [f"v1.{minor}.0" for minor in range(number)]
    journeys = list(sampled(dict.fromkeys(tags, manifest)))

    assert len({tag for tag, _ in journeys}) == tried
    for tag in (tags[0], tags[-1]):
        combinations = [combination for chosen, combination in journeys if chosen == tag]
        assert combinations == product_of(manifest.questions.values())


def test_a_shallow_clone_is_refused(tmp_path: Path) -> None:
    """Without the history there would be nothing to update from, and nothing to fail."""
    git(ROOT, "clone", "--quiet", "--depth=1", ROOT.as_uri(), str(tmp_path / "shallow"))

    with pytest.raises(RuntimeError, match="git fetch --unshallow"):
        release_commits(tmp_path / "shallow")


def test_releases_are_the_first_commits_of_their_versions(tmp_path: Path) -> None:
    """What follows under the same version is no release."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commits: list[str] = []
    for version in ("1.0.0", "1.0.0", "1.1.0", "1.1.0"):
        text = f'[project]\nversion = "{version}"\n# {len(commits)}\n'
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        save(tmp_path)
        commits.append(git(tmp_path, "rev-parse", "HEAD").strip())

    assert release_commits(tmp_path) == {"1.0.0": commits[0], "1.1.0": commits[2]}
