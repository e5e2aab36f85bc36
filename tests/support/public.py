"""The public names of a service: what its owner's code, tests and settings rely on."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import griffe

from support.questions import largest_of_each_database
from support.root import ROOT, Answer

RECORD = ROOT / "tests" / "public_names.txt"
"""One line for each name, parameter, default and fixture."""

FIXTURE = re.compile(r"^(?:pytest\.)?fixture\b(?:\((?P<options>.*)\))?")
COMMAND = re.compile(r"^(?P<group>cli|db|commands)\.command\b(?:\(['\"](?P<name>[\w-]+))?")

GROUPS = {"cli": "", "db": "db ", "commands": "users "}

PARTS = ("app.core", "app.core.auth", "app.core.mail")
"""Packages whose `__all__` lists public names."""


def record(render: Callable[[Mapping[str, Answer]], Path]) -> str:
    """Return the record of the template, with the names of all databases."""
    lines: set[str] = set()
    for combination in largest_of_each_database():
        lines.update(names(render(combination.answers)))
    return "".join(f"{line}\n" for line in sorted(lines))


def names(project: Path) -> Iterator[str]:
    """Yield the public names of one project."""
    app = griffe.load("app", search_paths=[project], resolve_aliases=True)
    tests = griffe.load("tests", search_paths=[project])
    for part in PARTS:
        path = part.removeprefix("app.")
        if not Path(project, *part.split(".")).exists():
            continue
        package = app[path]
        for name in sorted(str(export) for export in package.exports or ()):
            found = package[name]
            if found.is_module:  # a module has the name of its function
                found = found[name]
            target = found.final_target if isinstance(found, griffe.Alias) else found
            yield from _described(f"{part}.{name}", target)
        for module in package.modules.values():
            yield from _commands(module)
        yield from _fixtures(tests[path])


def _described(name: str, found: griffe.Object | griffe.Alias) -> Iterator[str]:
    if isinstance(found, griffe.Function):
        yield f"{name}({_parameters(found)})"
    elif isinstance(found, griffe.Class):
        yield f"class {name}"
        for each in (found, *_bases(found)):
            for member_name, member in each.members.items():
                if not member_name.startswith("_"):
                    yield from _described(f"{name}.{member_name}", member)
    elif isinstance(found, griffe.Attribute):
        # The value of a module's attribute, such as a type, is an implementation detail.
        in_class = isinstance(found.parent, griffe.Class)
        yield f"{name} = {found.value}" if in_class else name


def _bases(found: griffe.Class) -> Iterator[griffe.Class]:
    """Yield the base classes that core defines."""
    for base in found.resolved_bases:
        if isinstance(base, griffe.Class) and base.path.startswith("app.core."):
            yield base
            yield from _bases(base)


def _parameters(function: griffe.Function) -> str:
    parts = []
    for parameter in function.parameters:
        if parameter.name not in ("self", "cls"):
            default = "" if parameter.default is None else f" = {parameter.default}"
            parts.append(f"{parameter.name}{default}")
    return ", ".join(parts)


def _commands(module: griffe.Object | griffe.Alias) -> Iterator[str]:
    for name, function in module.functions.items():
        for decorator in function.decorators:
            if found := COMMAND.match(str(decorator.value)):
                group = GROUPS[found["group"]]
                yield f"command {group}{found['name'] or name} ({_parameters(function)})"


def _fixtures(module: griffe.Object | griffe.Alias) -> Iterator[str]:
    for name, function in module.functions.items():
        for decorator in function.decorators:
            found = FIXTURE.match(str(decorator.value))
            if found and not name.startswith("_"):
                yield f"fixture {name} ({found['options'] or ''})"


def unannounced(old: str, new: str, breaking: str) -> list[str]:
    """Return the lines of an older record that vanished or changed without a word.

    Args:
        old: record of the last release.
        new: record of the working tree.
        breaking: the changelog's breaking changes since the last release, which must name
            what a line is about.
    """
    gone = sorted(set(old.splitlines()) - set(new.splitlines()))
    return [line for line in gone if subject(line).lower() not in breaking.lower()]


def subject(line: str) -> str:
    """Return the name that a line of the record is about, without its path."""
    name = re.match(r"(?:class |command (?:db |users )?|fixture )?([\w.-]+)", line)
    assert name, line
    return name[1].rpartition(".")[2]
