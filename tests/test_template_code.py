"""Whoever changes the template has its code checked where it is written."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import programs, template_code
from support.projects import Project
from support.questions import Combination, first_of_each_database
from support.template_code import TEMPLATE, readable, roots, sources, unexplained_conditions

CHECKED = first_of_each_database()

FIRST_PARTY = 'lint.isort.known-first-party = ["app", "tests"]'
"""An overlay has not all of the project's folders, by which ruff would know its own code."""


def test_conditions_name_choices_that_exist() -> None:
    """What compares an answer with a misspelt choice would never be rendered."""
    assert list(template_code.unknown_choices()) == []


def test_a_choice_that_does_not_exist_is_found() -> None:
    """In a condition, wherever the answer stands, but not in other text."""
    text = (
        "{% if database == 'postgres' or 'sqlite' == database or example == 'x' %}oracle{% endif %}"
    )

    assert list(template_code.unknown_choices_in(text)) == [("database", "postgres")]


def test_tools_can_read_almost_all_of_it() -> None:
    """Conditions belong into the names of folders, not into Python."""
    assert template_code.share() >= 95


@pytest.mark.parametrize("command", ["check", "format --check"])
@pytest.mark.parametrize("root", roots(), ids=lambda root: root.name)
def test_ruff_reads_the_template(
    root: Path, command: str, rendered: Callable[[Combination], Path]
) -> None:
    """Unrendered, with the settings that services get."""
    settings = rendered(CHECKED[0]) / "pyproject.toml"
    folders = [path.name for path in root.iterdir() if path.name in ("app", "migrations", "tests")]
    if folders:
        options = ["--no-cache", f"--config={settings}", f"--config={FIRST_PARTY}"]
        ruff = Path(sys.prefix, "bin", "ruff")
        programs.run(str(ruff), *command.split(), *options, *sorted(folders), cwd=root)


@pytest.mark.parametrize("combination", CHECKED, ids=str)
def test_mypy_reads_the_template(
    combination: Combination, kept_projects: Callable[[Combination], Project], tmp_path: Path
) -> None:
    """Unrendered, but for the few files that are not Python yet."""
    project = kept_projects(combination)
    targets = {
        target: found for target, found in sources(combination).items() if _is_python(target)
    }
    for target, (source,) in targets.items():
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source if source.suffix == ".py" else project.path / target, tmp_path / target)

    checked = programs.run(
        str(project.path / ".venv" / "bin" / "mypy"),
        f"--config-file={project.path / 'pyproject.toml'}",
        cwd=tmp_path,
        env=project.environment(),
        check=False,
    )

    names = {target: str(source.relative_to(TEMPLATE)) for target, (source,) in targets.items()}
    found = re.sub(
        r"^[^:\n]+(?=:\d+: )", lambda m: names.get(m[0], m[0]), checked.output, flags=re.MULTILINE
    )
    assert checked.exit_code == 0, found


def test_every_file_is_type_checked_somewhere() -> None:
    """No overlay is left out of the test above."""
    checked = {path for each in CHECKED for found in sources(each).values() for path in found}
    assert set(readable()) <= checked


@pytest.mark.parametrize("path", sorted(TEMPLATE.rglob("*.py.jinja")), ids=lambda path: path.name)
def test_conditions_within_code_say_why(path: Path) -> None:
    """A condition in a function's body has a comment why it could not be a file of its own."""
    assert not unexplained_conditions(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{% if a %}\nx = 1\n{% endif %}", 0),
        ("def f():\n    {%- if a %}\n    x = 1\n    {%- endif %}", 1),
        ("def f():\n    {#- why #}\n    {%- if a %}\n    x = 1\n    {%- endif %}", 0),
        ("def f():\n    {#- why -#}\n\n    {% for a in b %}\n    x = 1\n    {% endfor %}", 0),
        ("def f():\n    return {{ 'a' if b else 'c' }}", 1),
        ("def f():\n    {#- why -#}\n    x = {{ a }}\n    return {{ 1 if a }}", 1),
    ],
)
def test_a_condition_without_a_comment_is_found(text: str, found: int) -> None:
    """The comment has to be right above."""
    assert len(unexplained_conditions(text)) == found


def _is_python(name: str) -> bool:
    return name.endswith(".py")
