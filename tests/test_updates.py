"""Updates from each release to the working tree, of projects changed by their owners."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import copier
import pytest

from prewired.errors import PrewiredError
from support import interpreters, personas
from support.checks import migrate, run_static_checks, run_tests
from support.databases import DatabaseServer
from support.environments import Environments
from support.personas import EDITS, EXAMPLE, PRUNED, begin, conflicts, grow, lost, read, save
from support.projects import Project
from support.questions import (
    Combination,
    behavioural_product,
    first_of_each_database,
    product_of,
)
from support.releases import (
    SYNTHETIC,
    History,
    Manifest,
    broken_promises,
    read_manifest,
    release_commits,
)
from support.rendering import Template, git, texts_in
from support.root import ROOT

FIRST = (0, 8)
"""The oldest release that supports updates."""

try:
    RELEASES: dict[str, Manifest] = {
        f"v{version}": read_manifest(Template(ROOT, commit))
        for version, commit in release_commits().items()
        if tuple(map(int, version.split("."))) >= FIRST
    }
except RuntimeError as error:
    raise pytest.Collector.CollectError(str(error)) from None

JOURNEYS = 12
"""Maximum number of journeys, so that the suite does not slow down with every release."""

Journey = tuple[str, Combination]


def sampled(releases: Mapping[str, Sequence[Combination]]) -> list[Journey]:
    """Choose journeys: each database from both ends and a synthetic release, others in turn.

    Args:
        releases: the combinations of each release, by tag, oldest first.
    """
    known = {SYNTHETIC: behavioural_product(), **releases}
    tags = list(releases)
    ends = list(dict.fromkeys([SYNTHETIC, *tags[:1], *tags[-1:]]))
    chosen = [
        (tag, fitting[(number + place) % len(fitting)])
        for number, tag in enumerate(ends)
        for place, database in enumerate(dict.fromkeys(each.database for each in known[tag]))
        for fitting in [[each for each in known[tag] if each.database == database]]
    ]
    between = [tag for tag in tags if tag not in ends]
    room = min(len(between), JOURNEYS - len(chosen))
    for number in range(room):
        tag = between[number * len(between) // room]
        chosen.append((tag, known[tag][(2 * number + number % 2) % len(known[tag])]))
    return chosen


def marked(chosen: list[Journey]) -> pytest.MarkDecorator:
    """Parametrize a test with journeys."""
    cases = [pytest.param(*each, id=f"{each[0]}-{each[1]}") for each in chosen]
    return pytest.mark.parametrize(("tag", "combination"), cases)


CHOSEN = sampled({tag: product_of(each.questions.values()) for tag, each in RELEASES.items()})
journeys = marked(CHOSEN)
ENDS = {SYNTHETIC, *list(RELEASES)[:1], *list(RELEASES)[-1:]}
OLDEST = next(iter(RELEASES), SYNTHETIC)

UPDATES = ("update", "update_by_copier")

Start = Callable[..., Project]
Servers = Callable[[Combination], DatabaseServer]


@pytest.fixture(scope="session")
def manifest(history: History) -> Manifest:
    """The manifest of the working tree."""
    return read_manifest(history.current)


@pytest.fixture
def start(
    history: History, settings: dict[str, str], environments: Environments, tmp_path: Path
) -> Start:
    """Render a release, and commit the project."""

    def make(tag: str, combination: Combination, name: str = "service", **more: str) -> Project:
        path = tmp_path / name
        history.at(tag).render(path, {**combination.answers, **more})
        begin(path)
        oldest = interpreters.at_least(interpreters.WANTED[0])
        return Project(path, oldest, settings, environments)

    return make


def fresh(
    history: History, manifest: Manifest, combination: Combination, project: Path, **more: str
) -> dict[str, str]:
    """Return a fresh render of the working tree, with files that updates skip from `project`."""
    path = project.with_name("fresh")
    history.current.render(path, {**combination.answers, **more})
    new = {name: text for name, text in texts_in(path).items() if not manifest.keeps(name)}
    return new | {name: text for name, text in read(project).items() if manifest.keeps(name)}


@pytest.mark.parametrize("update", UPDATES)
@marked([each for each in CHOSEN if each[0] in ENDS])
def test_untouched_project_equals_fresh_render(
    update: str,
    tag: str,
    combination: Combination,
    history: History,
    manifest: Manifest,
    start: Start,
) -> None:
    """The result is identical to a fresh render."""
    project = start(tag, combination)
    before = read(project.path)

    getattr(history, update)(project.path)

    after = read(project.path)
    assert after == fresh(history, manifest, combination, project.path)
    assert after != before
    kept = {path: text for path, text in before.items() if manifest.keeps(path)}
    assert {path: after.get(path) for path in kept} == kept


@pytest.mark.needs_server
@journeys
def test_added_feature_survives_update(
    tag: str,
    combination: Combination,
    history: History,
    manifest: Manifest,
    start: Start,
    servers: Servers,
) -> None:
    """The owner's additions are kept, and work with the template's changes.

    The shipped formatter makes no changes that could conflict with the update.
    """
    project = start(tag, combination)
    personas.reformat(project)
    (project.path / "uv.lock").unlink()
    written = grow(project.path)
    save(project.path)
    own = {path: text for path, text in read(project.path).items() if "invoices" in path}
    assert own

    history.update(project.path)

    after = read(project.path)
    assert conflicts(project.path) == set()
    assert lost(project.path, written) == []
    assert {path: after.get(path) for path in own} == own
    wanted = fresh(history, manifest, combination, project.path)
    assert {path: text for path, text in after.items() if path not in {*written, *own}} == {
        path: text for path, text in wanted.items() if path not in {*written, *own}
    }
    check(project, servers(combination))


def check(project: Project, server: DatabaseServer) -> None:
    """Run all of the project's checks."""
    project.sync()
    run_static_checks(project)
    run_tests(project.with_settings(TEST_DATABASE_URL=server.url))
    migrate(project, server)


@journeys
def test_changed_lines_merge_or_conflict(
    tag: str, combination: Combination, history: History, manifest: Manifest, start: Start
) -> None:
    """Changed lines merge or conflict visibly, and deleted files stay deleted."""
    project = start(tag, combination, license="MIT")
    example = combination.answers["example"]
    deletes_it = example and CHOSEN.index((tag, combination)) % 2
    gone = [*PRUNED, *EXAMPLE] if deletes_it else PRUNED
    personas.prune(project.path, gone)
    without = set()
    if deletes_it or not example:
        without.add("app/songs/router.py")
    written = personas.edit(project.path, without)
    save(project.path)

    history.update(project.path)

    assert lost(project.path, written) == []
    assert conflicts(project.path) <= written.keys()
    wanted = fresh(history, manifest, combination, project.path, license="MIT")
    after = read(project.path)
    for path in gone:
        assert not (project.path / path).exists()
        wanted.pop(path, None)
    assert {path: text for path, text in after.items() if path not in written} == {
        path: text for path, text in wanted.items() if path not in written
    }


@marked([each for each in CHOSEN if each[0] == OLDEST][-2:])
def test_one_update_equals_several(
    tag: str, combination: Combination, history: History, manifest: Manifest, start: Start
) -> None:
    """One update over all releases gives the same result as several updates.

    A file that became the owner's is left as it was then.
    """
    jump, steps = start(tag, combination, "jump"), start(tag, combination, "steps")
    for project in (jump, steps):
        grow(project.path)
        save(project.path)

    history.update(jump.path)
    later = [release for release in RELEASES if release != tag]
    for release in [*later[:: len(later) // 2 or 1], history.target]:
        history.update(steps.path, release)
        save(steps.path)

    def shared(project: Project) -> dict[str, str]:
        became_owned = [each for each in manifest.kept if each not in RELEASES[tag].kept]
        return {path: text for path, text in read(project.path).items() if path not in became_owned}

    assert shared(jump) == shared(steps)


DATABASES = first_of_each_database()

SWITCHES = [
    pytest.param(after, before, id=f"{after.database}-after-{before.database}")
    for before, after in zip(DATABASES, [*DATABASES[1:], DATABASES[0]], strict=True)
]


@pytest.mark.needs_server
@pytest.mark.parametrize(("combination", "before"), SWITCHES)
def test_feature_survives_change_of_database(
    combination: Combination,
    before: Combination,
    history: History,
    start: Start,
    servers: Servers,
) -> None:
    """The owner's feature and its tests work on the new database, with nothing lost."""
    project = start(history.target, before)
    written = grow(project.path)
    save(project.path)

    history.update(project.path, data={"database": combination.database})

    assert conflicts(project.path) == set()
    assert lost(project.path, written) == []
    assert project.slug in (project.path / "README.md").read_text(encoding="utf-8")
    check(project, servers(combination))


@pytest.mark.parametrize("path", [*EDITS, *PRUNED])
def test_personas_require_their_files(path: str, start: Start, history: History) -> None:
    """The tests must not silently skip an edit of a file that has moved."""
    project = start(history.target, DATABASES[0], license="MIT").path
    (project / path).unlink()

    with pytest.raises(FileNotFoundError):
        personas.prune(project, PRUNED) if path in PRUNED else personas.edit(project)


OTHER_ANSWERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"license": "MIT"}, {"license": "proprietary"}),
    ({"license": "proprietary"}, {"license": "Apache-2.0"}),
    ({"python_version": "3.11"}, {"python_version": "3.12"}),
    ({"ci": "github"}, {"ci": "none"}),
    ({"ci": "none"}, {"ci": "github"}),
    ({"ci": "github"}, {"ci": "gitlab"}),
    ({"container": False, "database": "postgresql"}, {"container": True}),
    ({"container": True, "database": "mysql"}, {"container": False}),
    ({"deploy": "none", "database": "mysql"}, {"deploy": "kubernetes"}),
    ({"deploy": "kubernetes"}, {"deploy": "none"}),
    ({"example": True}, {"example": False}),
    ({"example": False}, {"example": True}),
    ({"project_name": "Old name", "project_slug": "name"}, {"project_name": "New name"}),
]


@pytest.mark.parametrize(
    ("before", "after"), OTHER_ANSWERS, ids=lambda answers: "-".join(map(str, answers.values()))
)
def test_changed_answer_keeps_the_owners_lines(
    before: dict[str, Any],
    after: dict[str, Any],
    history: History,
    manifest: Manifest,
    tmp_path: Path,
) -> None:
    """The project becomes what it would have been, and the owner's lines are kept."""
    project = tmp_path / "service"
    history.current.render(project, before)
    begin(project)
    written = grow(project)
    save(project)
    kept = {path: text for path, text in read(project).items() if manifest.keeps(path)}

    history.update(project, data=after)

    assert conflicts(project) == set()
    assert lost(project, written) == []
    changed = read(project)
    assert {path: changed.get(path) for path in kept} == kept
    history.current.render(tmp_path / "fresh", {**before, **after})
    for path, text in texts_in(tmp_path / "fresh").items():
        if path not in written and not manifest.keeps(path):
            assert changed[path] == text


@pytest.mark.parametrize("tag", sorted(ENDS))
def test_deployment_is_switched_on_by_an_update(
    tag: str, history: History, manifest: Manifest, tmp_path: Path
) -> None:
    """Older projects get the files of questions that did not exist."""
    project = tmp_path / "service"
    history.at(tag).render(project, {"database": "postgresql"})
    begin(project)
    written = grow(project)
    save(project)

    history.update(project, data={"container": True, "deploy": "kubernetes"})

    assert conflicts(project) == set()
    assert lost(project, written) == []
    answers: dict[str, Any] = {
        "database": "postgresql",
        "container": True,
        "deploy": "kubernetes",
    }
    history.current.render(tmp_path / "fresh", answers)
    fresh, updated = texts_in(tmp_path / "fresh"), read(project)
    new = {"Dockerfile", "compose.yaml", "deploy/kubernetes/base/deployment.yaml"}
    assert new <= fresh.keys()
    for path, text in fresh.items():
        if path not in written and not manifest.keeps(path):
            assert updated[path] == text


@pytest.mark.parametrize("again", [*UPDATES, "recopy"])
def test_projects_of_earlier_releases_are_refused(
    again: str, history: History, tmp_path: Path
) -> None:
    """One sentence explains how to migrate, and nothing is changed."""
    project = history.at("v0.7.0").render(tmp_path / "service")
    begin(project)
    before = read(project)

    refusal = (copier.errors.UserMessageError, PrewiredError)
    with pytest.raises(refusal, match=r"8 cannot be updated: .* a new .*, move your"):
        getattr(history, again)(project)

    assert read(project) == before
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("tag", RELEASES)
def test_releases_keep_their_promises(tag: str, manifest: Manifest) -> None:
    """Paths, questions, choices and revisions are kept, or updates protect their owners."""
    assert broken_promises(RELEASES[tag], manifest) == []


def test_manifest_matches_renders(history: History, manifest: Manifest, tmp_path: Path) -> None:
    """The suite reads the template's file names like Copier does."""
    for number, combination in enumerate(product_of(manifest.questions.values())):
        project = history.current.render(tmp_path / str(number), combination.answers)
        assert texts_in(project).keys() == manifest.paths(combination.answers)


@pytest.mark.parametrize(
    ("number", "tried"), [(0, 1), (1, 2), (2, 3), (5, 6), (6, 6), (9, 6), (30, 6)]
)
def test_number_of_journeys_is_bounded(number: int, tried: int) -> None:
    """They include the synthetic, oldest and newest releases, with every database."""
    tags = [f"v1.{minor}.0" for minor in range(number)]
    chosen = sampled(dict.fromkeys(tags, behavioural_product()))

    assert len({tag for tag, _ in chosen}) == tried
    assert len(chosen) <= JOURNEYS
    for tag in {SYNTHETIC, *tags[:1], *tags[-1:]}:
        databases = {combination.database for found, combination in chosen if found == tag}
        assert databases == {each.database for each in first_of_each_database()}
        examples = {each.answers["example"] for found, each in chosen if found == tag}
        assert examples == {True, False}
    assert {str(combination) for _, combination in sampled({})} < set(
        map(str, behavioural_product())
    )


def test_shallow_clone_is_refused(tmp_path: Path) -> None:
    """Without the history, the update tests would have nothing to test."""
    git(ROOT, "clone", "--quiet", "--depth=1", ROOT.as_uri(), str(tmp_path / "shallow"))

    with pytest.raises(RuntimeError, match="git fetch --unshallow"):
        release_commits(tmp_path / "shallow")


def test_releases_are_the_first_commits_of_their_versions(tmp_path: Path) -> None:
    """Later commits with the same version are not releases."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commits: list[str] = []
    for version in ("1.0.0", "1.0.0", "1.1.0", "1.1.0"):
        text = f'[project]\nversion = "{version}"\n# {len(commits)}\n'
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        save(tmp_path)
        commits.append(git(tmp_path, "rev-parse", "HEAD").strip())

    assert release_commits(tmp_path) == {"1.0.0": commits[0], "1.1.0": commits[2]}
