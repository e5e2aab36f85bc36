"""The template's code is checked where it is written."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import programs, template_code
from support.questions import Combination, behavioural_product, first_of
from support.template_code import TEMPLATE, readable, roots, sources, unexplained_conditions

FIRST_PARTY = 'lint.isort.known-first-party = ["app", "tests"]'
"""First-party packages; ruff cannot detect all of them within an overlay."""


def test_conditions_use_existing_choices() -> None:
    """A comparison with a misspelled choice would never be true."""
    assert list(template_code.unknown_choices()) == []


def test_unknown_choices_are_detected() -> None:
    """Unknown choices are found in conditions, in any position, but not in other text."""
    text = (
        "{% if database == 'postgres' or 'sqlite' == database or example == 'x' %}oracle{% endif %}"
    )

    assert list(template_code.unknown_choices_in(text)) == [("database", "postgres")]


def test_almost_all_python_is_plain() -> None:
    """Conditions belong in folder names, not in Python code."""
    assert template_code.share() >= 95


@pytest.mark.parametrize("command", ["check", "format --check"])
@pytest.mark.parametrize("root", roots(), ids=lambda root: root.name)
def test_template_passes_ruff(
    root: Path, command: str, rendered: Callable[[Combination], Path]
) -> None:
    """Unrendered code passes with the settings of services."""
    settings = rendered(first_of("sqlite")) / "pyproject.toml"
    options = ["--no-cache", f"--config={settings}", f"--config={FIRST_PARTY}"]
    ruff = Path(sys.prefix, "bin", "ruff")
    folders = [name for name in ("app", "migrations", "tests") if (root / name).is_dir()]

    finished = programs.run(str(ruff), *command.split(), *options, *folders, cwd=root)

    # ruff reports the number of checked files.
    below = [path for path in readable() if path.is_relative_to(root)]
    files = [path for path in below if path.relative_to(root).parts[0] in folders]
    assert files
    assert command == "check" or finished.output.startswith(f"{len(files)} file")


def test_every_file_is_below_a_root() -> None:
    """No Python file is missed by the test above."""
    seen = {
        path
        for root in roots()
        for name in ("app", "migrations", "tests")
        for path in (root / name).rglob("*.py")
    }
    assert seen == set(readable())


def test_renders_contain_every_plain_file_unchanged(
    rendered: Callable[[Combination], Path],
) -> None:
    """Every plain Python file is unchanged in some render, and so is type-checked there."""
    unread = set(readable())
    for combination in behavioural_product():
        for target, (source, *_) in sources(combination).items():
            if source in unread:
                assert (rendered(combination) / target).read_bytes() == source.read_bytes()
                unread.remove(source)
    assert unread == set()


@pytest.mark.parametrize("path", sorted(TEMPLATE.rglob("*.py.jinja")), ids=lambda path: path.name)
def test_conditions_in_code_are_explained(path: Path) -> None:
    """A comment explains why a condition in a function or class cannot be a separate file."""
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
def test_unexplained_conditions_are_detected(text: str, found: int) -> None:
    """The comment must be directly above the condition."""
    assert len(unexplained_conditions(text)) == found


@pytest.mark.parametrize("combination", behavioural_product(), ids=str)
def test_imports_point_to_core(
    combination: Combination, rendered: Callable[[Combination], Path]
) -> None:
    """Core discovers features without importing them; features import core's public names."""
    app = rendered(combination) / "app"
    public = {
        name for package in template_code.FACES for name in template_code.face_of(app, package)
    }
    core = [file for file in app.rglob("*.py") if "core" in file.relative_to(app).parts]
    assert core
    for file in app.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if file in core:
            assert template_code.foreign_imports_of_core(text) == set(), file
        elif file.parent != app:
            feature = file.relative_to(app).parts[0]
            assert template_code.hidden_imports_of_a_feature(text, feature, public) == set(), file


def test_forbidden_imports_are_detected() -> None:
    """Core must not import the service; features must not import core's internals or each other."""
    text = (
        "import app\nimport app.main\nfrom app import settings, core\n"
        "from app.core import Base, x\nfrom app.core.engine import y\n"
        "from app.songs.models import Song\nfrom app.other import z\n"
    )
    assert template_code.foreign_imports_of_core(text) == {
        *("app", "app.main", "app.settings", "app.songs.models.Song", "app.other.z"),
    }
    assert template_code.hidden_imports_of_a_feature(text, "songs", ["app.core.Base"]) == {
        *("app", "app.main", "app.settings", "app.core", "app.core.x", "app.core.engine.y"),
        "app.other.z",
    }
