"""The template's Python code, as tools can read it without rendering."""

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

import jinja2.sandbox
from jinja2 import nodes

from support.questions import Combination, read_questions, with_computed
from support.rendering import files_in
from support.root import ROOT

TEMPLATE = ROOT / "template"

CONDITION = re.compile(r"\{%-?\s*(?:if|for)\b|\{\{[^}]*\bif\b")

COMMENT_ENDS = re.compile(r"-?#\}$")


def sources(combination: Combination, template: Path = TEMPLATE) -> dict[str, list[Path]]:
    """Return the source files of a combination, by the path that they render to."""
    environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined)
    context = {
        **with_computed(combination.answers),
        "_copier_conf": {"answers_file": ".copier-answers.yml"},
    }
    found: dict[str, list[Path]] = {}
    for path in _files(template):
        parts = [
            environment.from_string(part).render(context)
            for part in path.relative_to(template).parts
        ]
        if all(parts):
            target = PurePosixPath(*parts).as_posix().removesuffix(".jinja")
            found.setdefault(target, []).append(path)
    return found


def roots(template: Path = TEMPLATE) -> list[Path]:
    """Return the folders in which tools find `app` and `tests` as packages."""
    overlays = sorted(path for path in template.iterdir() if path.name.startswith("{%"))
    return [template, *(path for path in overlays if any(path.rglob("*.py")))]


def readable(template: Path = TEMPLATE) -> list[Path]:
    """Return the Python files that are valid without rendering."""
    return [path for path in _files(template) if path.suffix == ".py"]


def share(template: Path = TEMPLATE) -> float:
    """Return the percentage of Python lines in files that are valid without rendering."""
    seen = sum(map(_lines, readable(template)))
    unseen = sum(_lines(path) for path in _files(template) if path.name.endswith(".py.jinja"))
    return 100 * seen / (seen + unseen)


def unknown_choices(template: Path = TEMPLATE) -> Iterator[tuple[str, str, object]]:
    """Yield comparisons of answers with values that are no choice, as (file, question, value)."""
    for path in _files(template):
        name = path.relative_to(template).as_posix()
        text = path.read_text(encoding="utf-8") if name.endswith(".jinja") else ""
        yield from ((name, *found) for found in unknown_choices_in(f"{name}\n{text}"))


def unknown_choices_in(text: str) -> Iterator[tuple[str, object]]:
    """Yield comparisons of answers with values that are no choice, as (question, value)."""
    choices = {
        name: question.answers
        for name, question in read_questions().items()
        if question.details.get("choices")
    }
    for comparison in jinja2.sandbox.SandboxedEnvironment().parse(text).find_all(nodes.Compare):
        for name in comparison.find_all(nodes.Name):
            for constant in comparison.find_all(nodes.Const):
                if constant.value not in choices.get(name.name, [constant.value]):
                    yield name.name, constant.value


def unexplained_conditions(text: str) -> list[str]:
    """Return the conditions in a Python template that no comment directly above explains.

    Only lines within functions and classes count: elsewhere, a condition can stand for a file.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    return [
        line.strip()
        for above, line in zip(["", *lines], lines, strict=False)
        if line[0] in " \t" and CONDITION.search(line) and not COMMENT_ENDS.search(above)
    ]


def _files(template: Path) -> list[Path]:
    return [path for path in files_in(template) if "__pycache__" not in path.parts]


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def imports_of_app(text: str) -> set[str]:
    """Return the imports of app's modules and names in a file."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] == "app"}


def foreign_imports_of_core(text: str) -> set[str]:
    """Return a core file's imports from the rest of the service."""
    return {name for name in imports_of_app(text) if not f"{name}.".startswith("app.core.")}


FACES = ("core", "core/auth", "users")
"""Packages of `app` that features import from; their `__all__` lists what is public."""

COMMANDS_OF_USERS = "app.core.auth.management"
"""Where `app/users/commands.py` gets its commands from; slow to import."""


def face_of(app: Path, package: str) -> set[str]:
    """Return the public names of a package of `app`, which may not exist."""
    file = app / package / "__init__.py"
    if not file.exists():
        return set()
    lists = [
        ast.literal_eval(node.value)
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return {f"app.{package.replace('/', '.')}.{name}" for names in lists for name in names}


def hidden_imports_of_a_feature(text: str, feature: str, face: Collection[str]) -> set[str]:
    """Return a feature's imports from outside itself and the public names in `face`."""
    own = (f"app.{feature}.", f"{COMMANDS_OF_USERS}." if feature == "users" else f"app.{feature}.")
    return {name for name in imports_of_app(text) - set(face) if not f"{name}.".startswith(own)}
