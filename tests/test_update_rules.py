"""Rules for safe updates, tested with older templates derived from the working tree."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import copier
import pytest

from prewired.errors import PrewiredError
from support import personas, programs
from support.personas import begin, conflicts, lost, read, save
from support.projects import MANUAL
from support.questions import Combination, every_choice, read_questions, with_computed
from support.releases import (
    SYNTHETIC,
    History,
    add_release,
    broken_promises,
    read_manifest,
)
from support.rendering import Template, commit, copy_working_tree, git, texts_in
from support.root import ROOT

Patch = Callable[[Path], None]

UPDATES = pytest.mark.parametrize("update", ["update", "update_by_copier"])


def replace(directory: Path, path: str, old: str, new: str) -> None:
    """Replace the only occurrence of text in a file of a template."""
    file = directory / path
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path} must contain {old!r} exactly once."
    file.write_text(text.replace(old, new), encoding="utf-8")


def invent(directory: Path, *older: Patch, newer: Patch | None = None) -> History:
    """Create a template with releases that are the working tree patched by each of `older`.

    The newest release is the working tree, optionally patched by `newer`.
    """
    git(directory.parent, "init", "--quiet", "--initial-branch=main", directory.name)
    for number, patch in enumerate((*older, newer or (lambda _: None)), start=1):
        for entry in directory.iterdir():
            if entry.name == ".git":
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        copy_working_tree(directory)
        patch(directory)
        if number <= len(older):
            commit(directory, f"v0.0.{number}")
    return add_release(directory, tuple(f"v0.0.{number}" for number in range(1, number)))


def promises(history: History) -> list[str]:
    """Return the promises of the oldest release that the newest one breaks."""
    return broken_promises(
        read_manifest(history.at(history.releases[0])), read_manifest(history.current)
    )


def start(history: History, folder: Path, **answers: str) -> Path:
    """Render the oldest release, and commit it."""
    project = history.at(history.releases[0]).render(folder / "service", answers)
    begin(project)
    return project


def renamed(directory: Path) -> None:
    """Before limits.py, there was bodies.py."""
    app = directory / "template" / "app" / "core"
    (app / "limits.py").rename(app / "bodies.py")
    replace(
        directory, "template/app/core/install.py", "from app.core.limits", "from app.core.bodies"
    )


def removed(directory: Path) -> None:
    """There was a module that is no longer needed."""
    file = directory / "template" / "app" / "core" / "legacy.py"
    file.write_text('"""A module that is no longer needed."""\n', encoding="utf-8")


def keep(pattern: str) -> Patch:
    """Return a patch that makes updates leave a path alone."""

    def patch(directory: Path) -> None:
        entry = (
            "  - \"{% if _copier_operation == 'update' or rendered_before %}"
            + pattern
            + '{% endif %}"\n'
        )
        replace(directory, "copier.yml", "  - .DS_Store\n", f"  - .DS_Store\n{entry}")

    return patch


@pytest.mark.parametrize(
    ("older", "path"),
    [(renamed, "app/core/bodies.py"), (removed, "app/core/legacy.py")],
    ids=["renamed", "removed"],
)
@UPDATES
def test_removed_file_must_be_kept(update: str, older: Patch, path: str, tmp_path: Path) -> None:
    """The file must be listed as kept; then updates preserve the owner's changes to it."""
    careless = invent(tmp_path / "careless", older)
    assert [path in sentence for sentence in promises(careless)] == [True]

    history = invent(tmp_path / "template", older, newer=keep(path))
    assert promises(history) == []
    project = start(history, tmp_path)
    text = (project / path).read_text(encoding="utf-8") + "# The owner's.\n"
    (project / path).write_text(text, encoding="utf-8")
    save(project)

    getattr(history, update)(project)

    assert conflicts(project) == set()
    fresh = texts_in(history.current.render(tmp_path / "fresh"))
    assert read(project) == {**fresh, path: text}


def asked_for_a_mail(directory: Path) -> None:
    """The question author_email was called mail."""
    for path in (
        *("copier.yml", "includes/answers.jinja", "includes/guard.jinja"),
        "template/pyproject.toml.jinja",
    ):
        file = directory / path
        text = file.read_text(encoding="utf-8").replace("author_email", "mail")
        file.write_text(text, encoding="utf-8")


def remembers_the_mail(directory: Path) -> None:
    """The new question's default is the old question's answer."""
    replace(
        directory,
        "copier.yml",
        'for pyproject.toml (optional).\n  default: ""',
        "for pyproject.toml (optional).\n  default: \"{{ mail | default('') }}\"",
    )


@UPDATES
def test_renamed_question_keeps_its_answer(update: str, tmp_path: Path) -> None:
    """The new question must default to the old answer, which is then preserved."""
    assert promises(invent(tmp_path / "careless", asked_for_a_mail)) == [
        "The question mail is missing: its answer would be lost."
    ]

    history = invent(tmp_path / "template", asked_for_a_mail, newer=remembers_the_mail)
    assert promises(history) == []
    project = start(history, tmp_path, mail="ada@example.com")

    getattr(history, update)(project)

    answers = (project / ".copier-answers.yml").read_text(encoding="utf-8")
    assert "author_email: ada@example.com\n" in answers
    assert '"ada@example.com"' in (project / "pyproject.toml").read_text(encoding="utf-8")


def had_another_choice(directory: Path) -> None:
    """There was a license that is no longer offered."""
    replace(directory, "copier.yml", "    Proprietary (all", "    ISC: ISC\n    Proprietary (all")
    replace(directory, "includes/guard.jinja", "'proprietary'])", "'proprietary', 'ISC'])")


def test_removed_question_is_reported(tmp_path: Path) -> None:
    """Its name is found even though it is part of other names."""

    def asked_for_data(directory: Path) -> None:
        replace(directory, "copier.yml", "\nlicense:\n", "\ndata:\n  default: x\n\nlicense:\n")

    assert promises(invent(tmp_path / "template", asked_for_data)) == [
        "The question data is missing: its answer would be lost."
    ]


@UPDATES
def test_retired_choice_stops_the_update(update: str, tmp_path: Path) -> None:
    """A message tells the owner, and the project is unchanged."""
    history = invent(tmp_path / "template", had_another_choice)
    assert promises(history) == []
    project = start(history, tmp_path, license="ISC")
    before = read(project)

    refusal = (copier.errors.UserMessageError, PrewiredError)
    with pytest.raises(refusal, match='license: "ISC" is not a valid choice'):
        getattr(history, update)(project)

    assert read(project) == before
    assert git(project, "status", "--porcelain") == ""


def test_retired_choice_requires_guard(tmp_path: Path) -> None:
    """The answer would silently become the default."""

    def unguarded(directory: Path) -> None:
        guard = directory / "includes" / "guard.jinja"
        lines = guard.read_text(encoding="utf-8").splitlines(keepends=True)
        guard.write_text("".join(line for line in lines if "'license'" not in line), "utf-8")

    (sentence,) = promises(invent(tmp_path / "template", had_another_choice, newer=unguarded))
    assert sentence.startswith("license no longer has the choice ISC")


def had_another_default(directory: Path) -> None:
    """The MIT license was the default."""
    replace(directory, "copier.yml", "  default: proprietary\n", "  default: MIT\n")


def test_changed_default_keeps_the_answer(tmp_path: Path) -> None:
    """Existing answers are kept, even if they were the old default."""
    history = invent(tmp_path / "template", had_another_default)
    project = start(history, tmp_path)

    history.update(project)

    assert (project / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_update_can_skip_releases(tmp_path: Path) -> None:
    """One update gives the same result as several, even if files come and go."""

    def both_kept(directory: Path) -> None:
        keep("app/core/bodies.py")(directory)
        keep("app/core/legacy.py")(directory)

    history = invent(tmp_path / "template", renamed, removed, newer=both_kept)
    results = []
    for name, tags in (("jump", [history.target]), ("steps", ["v0.0.2", history.target])):
        (tmp_path / name).mkdir()
        project = start(history, tmp_path / name)
        personas.grow(project)
        save(project)
        for tag in tags:
            history.update(project, tag)
            save(project)
        results.append({path: text for path, text in read(project).items() if path not in LEFT})
    assert results[0] == results[1]


LEFT = ("app/core/bodies.py", "app/core/legacy.py")
"""Whether these files remain depends on the releases in between."""


@UPDATES
def test_conflicts_are_marked_and_rejected_by_hooks(update: str, tmp_path: Path) -> None:
    """Markers show both versions; the shipped hooks reject them, and rejected hunks."""

    def other_pool(directory: Path) -> None:
        path = "template/app/core/settings.py.jinja"
        replace(directory, path, "Field(default=10, ge=1)", "Field(default=15, ge=1)")

    history = invent(tmp_path / "template", other_pool)
    project = start(history, tmp_path)
    replace(project, "app/core/settings.py", "Field(default=15, ge=1)", "Field(default=99, ge=1)")
    save(project)

    getattr(history, update)(project)

    assert conflicts(project) == {"app/core/settings.py"}
    assert lost(project, {"app/core/settings.py": ["default=99", "default=10"]}) == []
    git(project, "add", "--all")
    refused = hooks(project, "conflict-markers")
    assert refused.exit_code == 1
    assert "app/core/settings.py:" in refused.output
    git(project, "checkout", "--quiet", "--force", "HEAD")
    assert hooks(project, "conflict-markers").exit_code == 0
    assert hooks(project, "rejected-changes").exit_code == 0
    (project / "README.md.rej").write_text("@@\n", encoding="utf-8")
    git(project, "add", "--all", "--force")
    assert hooks(project, "rejected-changes").exit_code == 1


def hooks(project: Path, hook: str) -> programs.Finished:
    """Run one of the shipped hooks on all files of the project."""
    return programs.run(
        *(sys.executable, "-m", "pre_commit", "run", "--all-files", hook),
        cwd=project,
        env=programs.environment(PRE_COMMIT_HOME=str(project.with_name("hooks"))),
        check=False,
    )


def edit_a_shipped_revision(directory: Path) -> None:
    """Change a released migration, of which there is one without users and one with them."""
    (revision,) = directory.glob("template/*jwt*/migrations/versions/*_create_songs.py")
    text = revision.read_text(encoding="utf-8").replace("length=200", "length=300")
    revision.write_text(text, encoding="utf-8")


def need_trust(directory: Path) -> None:
    """Run code on the owner's machine."""
    copier_yml = directory / "copier.yml"
    text = copier_yml.read_text(encoding="utf-8")
    copier_yml.write_text(f'_tasks: ["true"]\n_migrations: ["true"]\n{text}', encoding="utf-8")


def forget_an_owned_file(directory: Path) -> None:
    """Drop an entry of _exclude."""
    copier_yml = directory / "copier.yml"
    lines = copier_yml.read_text(encoding="utf-8").splitlines(keepends=True)
    copier_yml.write_text("".join(each for each in lines if "app/asgi.py" not in each), "utf-8")


def add_a_module(directory: Path) -> None:
    """Add a module where owners have theirs."""
    (directory / "template" / "app" / "mail.py").write_text('"""Mail."""\n', encoding="utf-8")


@pytest.mark.parametrize(
    ("newer", "words"),
    [
        (forget_an_owned_file, ["app/asgi.py is no longer under _exclude"]),
        (add_a_module, ["app/mail.py is a new module outside of core"]),
        (edit_a_shipped_revision, ["write another revision"]),
        (need_trust, ["_tasks requires --trust", "A migration without a version"]),
    ],
    ids=["forgotten", "outside of core", "edited revision", "trust"],
)
def test_forbidden_changes_are_reported(newer: Patch, words: list[str], tmp_path: Path) -> None:
    """Each forbidden change is named."""
    sentences = promises(invent(tmp_path / "template", lambda _: None, newer=newer))

    assert len(sentences) == len(words)
    for sentence, part in zip(sentences, words, strict=True):
        assert part in sentence


OWNERSHIP = re.compile(
    r"^\| (?P<whose>You|The template|Both) \| (?P<files>.+) \| .+ \|$", re.MULTILINE
)


@pytest.mark.parametrize(
    "combination",
    every_choice(),
    ids=Combination.full_name,
)
def test_readme_lists_the_owner_of_each_file(
    combination: Combination, template: Template, tmp_path: Path
) -> None:
    """Updates skip the owner's files; the template's files are in its folders."""
    files = texts_in(template.render(tmp_path / "service", combination.answers))
    manifest = read_manifest(template)
    rows = {row["whose"]: row["files"] for row in OWNERSHIP.finditer(files[MANUAL])}
    assert list(rows) == ["You", "The template", "Both"]
    owners, excepted = read_row(rows["You"])
    templates, _ = read_row(rows["The template"])
    assert rows["Both"].startswith("everything else")
    used = set()
    for file in files:
        matching = [pattern for pattern in owners if covers(pattern, file)]
        is_owners = bool(matching) and not any(covers(pattern, file) for pattern in excepted)
        assert is_owners == manifest.keeps(file), file
        if not is_owners:
            used |= {pattern for pattern in templates if covers(pattern, file)}
    assert used == set(templates)


def read_row(files: str) -> tuple[list[str], list[str]]:
    """Return the patterns in a row of the table, and their exceptions."""
    excepted = re.findall("except `([^`]+)`", files)
    return [each for each in re.findall("`([^`]+)`", files) if each not in excepted], excepted


def covers(pattern: str, file: str) -> bool:
    """Return whether a file matches a pattern, where `*` is part of a single name."""
    regex = re.escape(pattern).replace(r"\*", "[^/]+")
    return bool(re.fullmatch(regex + (".*" if pattern.endswith("/") else ""), file))


def test_guard_covers_every_question() -> None:
    """The guard has the same choices for each question, and a valid default."""
    guard = (ROOT / "includes" / "guard.jinja").read_text(encoding="utf-8")
    for name, question in read_questions().items():
        if question.computed:
            continue
        if question.details["type"] == "bool":
            line = (
                f"yes_or_no('{name}', {name} | default({str(question.details['default']).lower()}))"
            )
        elif question.answers:
            choices = ", ".join(f"'{answer}'" for answer in question.answers)
            default = question.details["default"]
            line = f"one_of('{name}', {name} | default('{default}'), [{choices}])"
        else:
            line = f"text('{name}', {name} | default("
        assert line in guard, f"includes/guard.jinja needs the line {{{{ {line} }}}}."


COMPUTED = [name for name in with_computed({}) if read_questions()[name].computed]


@pytest.mark.parametrize("given_in", ["data", "data file", "settings"])
@pytest.mark.parametrize(
    "name",
    [q.name for q in read_questions().values() if q.computed and q.details["type"] == "bool"],
)
def test_computed_values_cannot_be_set(
    name: str, given_in: str, template: Template, tmp_path: Path
) -> None:
    """A given value would contradict the answers it is computed from."""
    wrong = not with_computed({})[name]
    data, own = tmp_path / "data.yml", tmp_path / "settings.yml"
    data.write_text(f"{name}: {wrong}\n" if given_in == "data file" else "{}\n", encoding="utf-8")
    text = f"defaults:\n  {name}: {wrong}\n" if given_in == "settings" else "{}\n"
    own.write_text(text, encoding="utf-8")
    given = [f"--data={name}={wrong}"] if given_in == "data" else []

    refused = programs.run(
        *(sys.executable, "-m", "copier", "copy", "--defaults", f"--data-file={data}", *given),
        *(str(template.path), str(tmp_path / "service")),
        cwd=tmp_path,
        env=programs.environment(COPIER_SETTINGS_PATH=str(own)),
        check=False,
    )

    assert refused.exit_code == 1, refused.report()
    (sentence,) = refused.stderr.splitlines()
    assert f"{name} is computed" in sentence
    assert not (tmp_path / "service").exists()


def update_by_hand(project: Path, *options: str) -> programs.Finished:
    """Run the `copier update` command."""
    settings = project.with_name("settings.yml")
    settings.write_text("{}\n", encoding="utf-8")
    return programs.run(
        *(sys.executable, "-m", "copier", "update", "--defaults", *options),
        cwd=project,
        env=programs.environment(COPIER_SETTINGS_PATH=str(settings)),
        check=False,
    )


def make_dirty(project: Path) -> None:
    """Leave an uncommitted change."""
    (project / "README.md").write_text("Something else.\n", encoding="utf-8")


def forget_the_commit(project: Path) -> None:
    """Simulate a project rendered from a folder without git."""
    file = project / ".copier-answers.yml"
    text = re.sub("_commit: .*\n", "", file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    save(project)


def edit_an_answer(project: Path) -> None:
    """Set an invalid answer."""
    replace(project, ".copier-answers.yml", "database: sqlite", "database: postgres")
    save(project)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (make_dirty, "Please commit or stash your local changes"),
        (forget_the_commit, "cannot obtain old template references from `.copier-answers.yml`"),
        (edit_an_answer, 'database: "postgres" is not a valid choice'),
    ],
    ids=["dirty", "detached", "edited answers"],
)
def test_impossible_update_changes_nothing(
    spoil: Patch, words: str, history: History, tmp_path: Path
) -> None:
    """One sentence and exit code 1 report the problem, and nothing is changed."""
    project = history.current.render(tmp_path / "service")
    begin(project)
    spoil(project)
    before, status = read(project), git(project, "status", "--porcelain")

    finished = update_by_hand(project)

    assert finished.exit_code == 1
    assert words in finished.output
    assert "Traceback" not in finished.output
    assert (read(project), git(project, "status", "--porcelain")) == (before, status)


@pytest.mark.parametrize("again", ["update_by_copier", "recopy"])
@pytest.mark.parametrize("lost", ["database", "project_name"])
def test_lost_answer_is_refused_by_copier(
    again: str, lost: str, history: History, tmp_path: Path
) -> None:
    """Copier itself would use the default."""
    project = history.current.render(tmp_path / "service", {"database": "mysql"})
    begin(project)
    file = project / ".copier-answers.yml"
    text = re.sub(f"^{lost}: .*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(text, encoding="utf-8")
    save(project)
    before = read(project)

    with pytest.raises(copier.errors.UserMessageError, match=f"{lost} is missing in .*: restore"):
        getattr(history, again)(project)

    assert read(project) == before


def test_update_without_answers_file_is_refused(history: History, tmp_path: Path) -> None:
    """Copier itself reports that it finds no template, and nothing is changed."""
    project = history.current.render(tmp_path / "service")
    begin(project)
    (project / ".copier-answers.yml").unlink()
    save(project)
    before = read(project)

    finished = update_by_hand(project)

    assert finished.exit_code != 0
    assert "Template not found" in finished.output
    assert read(project) == before


def test_update_message_lists_next_steps(history: History, tmp_path: Path) -> None:
    """The message follows the output of the command."""
    project = history.at(SYNTHETIC).render(tmp_path / "service")
    begin(project)

    finished = update_by_hand(project, f"--vcs-ref={history.target}")

    assert finished.exit_code == 0, finished.report()
    for words in ("git status", "uv run pytest", "DATABASE_URL", "git show HEAD:"):
        assert words in finished.output
