"""What must hold for every file that the template has or renders."""

import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pytest
import yaml

from support.options import read_options, spelled
from support.questions import Combination, behavioural_product, read_questions
from support.rendering import Renders, Template, files_in
from support.root import ROOT
from support.template_code import sources
from support.wording import mentions

COMBINATIONS = pytest.mark.parametrize("combination", behavioural_product(), ids=str)

Rendered = Callable[[Combination], Path]

EMPTY_BY_CONVENTION = ("__init__.py", "py.typed")

JINJA_LEFT_OVER = re.compile(r"(?<!\$)\{\{|\{%|\{#")

NOT_ON_WINDOWS = re.compile(
    r'[<>:"|?*\\\x00-\x1f]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)', re.IGNORECASE
)

NEEDS_TRUST = {"_tasks", "_migrations", "_jinja_extensions"}


@COMBINATIONS
def test_no_empty_files_or_folders(combination: Combination, rendered: Rendered) -> None:
    """A condition that renders nothing leaves nothing behind."""
    project = rendered(combination)
    empty = [
        path
        for path in project.rglob("*")
        if (path.is_dir() and not any(path.iterdir()))
        or (
            path.is_file()
            and not path.read_text(encoding="utf-8").strip()
            and path.name not in EMPTY_BY_CONVENTION
        )
    ]
    assert not empty


@COMBINATIONS
def test_text_is_tidy(combination: Combination, rendered: Rendered) -> None:
    """Files end with one newline; no line ends with spaces or shows its Jinja."""
    untidy = {}
    for path in files_in(rendered(combination)):
        text = path.read_bytes().decode()
        faults = {
            "no newline at the end": text and not text.endswith("\n"),
            "blank lines at the end": text.endswith("\n\n"),
            "blank lines at the beginning": text.startswith("\n"),
            "spaces at the end of a line": re.search(r"[ \t]$", text, re.MULTILINE),
            "carriage returns": "\r" in text,
            "tabs": "\t" in text,
            "executable": path.stat().st_mode & stat.S_IXUSR,
            "left-over Jinja": JINJA_LEFT_OVER.search(text),
        }
        if found := [fault for fault, present in faults.items() if present]:
            untidy[path.relative_to(rendered(combination)).as_posix()] = found
    assert not untidy


@COMBINATIONS
def test_only_what_was_chosen_is_mentioned(combination: Combination, rendered: Rendered) -> None:
    """Nobody reads about what their service does not have."""
    assert not mentions(rendered(combination), combination.answers)


def test_every_choice_has_its_words(render: Renders) -> None:
    """A new choice does not slip past the test above, nor do words that no render has."""
    for name, question in read_questions().items():
        for answer in question.answers:
            said = {choice for _, choice in mentions(render({name: answer}), {name: ""})}
            expected = spelled(answer) in read_options()[name].words
            assert (f"{name}={spelled(answer)}" in said) is expected


@COMBINATIONS
def test_rendered_names_are_legal_everywhere(combination: Combination, rendered: Rendered) -> None:
    """A service can be checked out on Windows and macOS."""
    project = rendered(combination)
    assert not _illegal(path.relative_to(project).as_posix() for path in project.rglob("*"))


def test_template_names_are_legal_everywhere(template: Template) -> None:
    """So can the template, with its conditions in the names of folders."""
    names = (path.relative_to(template.path).as_posix() for path in files_in(template.path))
    assert not _illegal(names)


def _illegal(names: Iterable[str]) -> list[str]:
    """Return names that Windows refuses, or that differ from another only in case."""
    listed = list(names)
    same = Counter(name.casefold() for name in listed)
    return [
        name
        for name in listed
        if len(name) > 200
        or same[name.casefold()] > 1
        or any(NOT_ON_WINDOWS.search(part) for part in PurePosixPath(name).parts)
    ]


@COMBINATIONS
def test_no_two_sources_render_to_one_path(combination: Combination, template: Template) -> None:
    """Copier would let the last one win, in silence."""
    found = sources(combination, template.path / "template")
    assert not {target: paths for target, paths in found.items() if len(paths) > 1}


def test_nothing_asks_for_trust() -> None:
    """`copier copy` and `copier update` work without --trust."""
    settings = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    assert not settings.keys() & NEEDS_TRUST
    assert settings["_envops"]["undefined"] == "jinja2.StrictUndefined"
    assert settings["_min_copier_version"]
