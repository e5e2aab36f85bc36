"""The `copier copy` command, and answers that it must refuse."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from copier.errors import UserMessageError

from support import programs
from support.dead_weight import requirements
from support.programs import Finished
from support.projects import Project
from support.questions import (
    TEXT_OPTIONS,
    Combination,
    first_of_each_database,
    largest_of_each_database,
    read_questions,
)
from support.rendering import Template
from support.root import ROOT, Answer

REFUSALS = [
    ("project_name", "", "enter a name"),
    ("project_name", " \t ", "enter a name"),
    ("project_name", "two\nlines", "on one line"),
    ("project_name", "x" * 300, "at most 100 characters"),
    ("project_slug", "", "use lowercase letters"),
    ("project_slug", "My Service!", "use lowercase letters"),
    ("project_slug", "1abc", "starting with a letter"),
    ("project_slug", "a--b", "single hyphens"),
    ("project_slug", "-a", "starting with a letter"),
    ("project_slug", "a-", "single hyphens"),
    ("project_slug", "null", "YAML"),
    ("project_slug", "naïve", "use lowercase letters"),
    ("project_slug", "a\n", "use lowercase letters"),
    ("project_slug", "x" * 300, "at most 50 characters"),
    ("project_slug", "fastapi", "choose another slug"),
    ("project_slug", "alembic", "choose another slug"),
    ("project_slug", "python3", "choose another slug"),
    ("description", "  ", "enter a description"),
    ("description", "two\nlines", "on one line"),
    ("description", "x" * 1000, "at most 300 characters"),
    ("author_name", " ", "enter the name of the author"),
    ("author_name", "two\nlines", "on one line"),
    ("author_name", "x" * 300, "at most 100 characters"),
    ("author_email", "nope", "enter an address such as"),
    ("author_email", "a@b@c.example", "enter an address such as"),
    ("author_email", "ada@example.com\n", "enter an address such as"),
    ("license", "GPL-9.0", "is not a valid choice"),
    ("python_version", "3.9", "is not a valid choice"),
    ("database", "oracle", "is not a valid choice"),
    ("example", "perhaps", "is not a valid choice: use yes or no"),
]


def copy(template: Template, destination: Path, *options: str) -> Finished:
    """Run Copier from the command line, without a terminal and without user settings."""
    settings = destination.with_name("settings.yml")
    settings.write_text("{}\n", encoding="utf-8")
    return programs.run(
        *(sys.executable, "-m", "copier", "copy", "--defaults", *options),
        *(str(template.path), str(destination)),
        cwd=destination.parent,
        env=programs.environment(COPIER_SETTINGS_PATH=str(settings)),
        check=False,
    )


@pytest.mark.parametrize("combination", first_of_each_database(), ids=str)
def test_copy_works_without_a_terminal(
    combination: Combination, template: Template, tmp_path: Path
) -> None:
    """Nothing is prompted, no trust is required, and the message lists the next steps."""
    destination = tmp_path / "service"
    copied = copy(template, destination, "--data", f"database={combination.database}")
    assert copied.exit_code == 0, copied.report()
    assert (destination / "pyproject.toml").is_file()
    for command in (f"cd {destination}", "uv run my-service dev"):
        assert command in copied.output
    assert "warning" not in copied.output.lower()


@pytest.mark.parametrize(("question", "answer", "words"), REFUSALS)
def test_bad_answers_are_refused(
    question: str, answer: Answer, words: str, template: Template, tmp_path: Path
) -> None:
    """One sentence says what to enter instead, and no files are written."""
    destination = tmp_path / "service"
    with pytest.raises(UserMessageError, match=re.escape(words)) as refusal:
        template.render(destination, {question: answer})
    assert is_one_sentence(str(refusal.value))
    assert question in str(refusal.value)
    assert not destination.exists()


@pytest.mark.parametrize("question", TEXT_OPTIONS)
def test_prompt_validates_like_data_option(question: str) -> None:
    """Prompted answers are validated by the same rules as `--data`."""
    validator = read_questions()[question].details["validator"]
    assert validator == (
        "{% import 'includes/answers.jinja' as wrong %}{{ wrong.question(question) }}"
    ).replace("question", question)


def test_reserved_slugs_are_refused(
    kept_projects: Callable[[Combination], Project],
) -> None:
    """A service must not replace its dependencies or the commands in its environment."""
    rules = (ROOT / "includes" / "answers.jinja").read_text(encoding="utf-8")
    listed = re.findall(r"text in \[(.*?)\]", rules, re.DOTALL)[0]
    taken = {"pythonw", "uv"}  # only on Windows, and outside the environment
    taken |= {"prometheus-client", "sentry-sdk"}  # of extras
    for combination in largest_of_each_database():
        project = kept_projects(combination)
        taken |= {name.partition("[")[0] for name in requirements(project.path)}
        commands = {file.name for file in (project.environment_path / "bin").iterdir()}
        taken |= {name for name in commands - {project.slug} if re.fullmatch("[a-z0-9-]+", name)}

    assert set(re.findall("'(.+?)'", listed)) == taken


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Song catalog", "song-catalog"), ("FastAPI", "fastapi-service"), ("曲", "my-service")],
)
def test_default_slugs_are_valid(name: str, slug: str, template: Template, tmp_path: Path) -> None:
    """The default slug is always valid."""
    destination = tmp_path / "service"
    template.render(destination, {"project_name": name})
    assert f'name = "{slug}"\n' in (destination / "pyproject.toml").read_text(encoding="utf-8")


def is_one_sentence(text: str) -> bool:
    """Return whether the text is a single sentence on one line."""
    return "\n" not in text.strip() and not re.search(r"[.!?] [A-Z]", text)


@pytest.mark.parametrize("bad", ["project_slug=My Service!", "database=oracle"])
def test_copy_fails_on_bad_answers(bad: str, template: Template, tmp_path: Path) -> None:
    """The exit code reports the failure, and the output is one sentence."""
    destination = tmp_path / "service"
    refused = copy(template, destination, "--data", bad)
    assert refused.exit_code == 1
    (sentence,) = refused.stderr.splitlines()
    assert bad.partition("=")[0] in sentence
    assert not destination.exists()
