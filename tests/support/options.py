"""What each option is, and what it promises: options/QUESTION.toml, one file for each question.

    kind          "behaviour" changes Python or tests, "files" only adds files or metadata,
                  "text" is any text, which is data and never code
    product       of a "behaviour": "full" meets every answer of the others, "pairwise" takes turns
    reason        why "pairwise" is enough
    sample        of a "text": one answer that is not the default
    [words]       answer = a regular expression for words that only services with that answer
                  have; empty if no word gives it away
    [dependencies] what the option adds = why
    [[mutations]] what breaks each promise, and the tests that must notice

options/base.toml has the dependencies and mutations of what every service has.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from support.root import ROOT, Answer

OPTIONS = ROOT / "options"

BASE = "base"

KINDS = ("behaviour", "files", "text")


def spelled(answer: Answer) -> str:
    """Return an answer as it is written after `--data` and in descriptions."""
    return str(answer).lower() if isinstance(answer, bool) else answer


@dataclass(frozen=True)
class Mutation:
    """One change to one file of a rendered project, and the tests that must notice it."""

    name: str
    file: str
    old: str
    """Text that the file has exactly once."""
    new: str
    fails: tuple[str, ...]
    """What to run: test files, or single tests as `file::test`; each must have a failure."""
    databases: tuple[str, ...] = ()
    """Run once on each of these; without any, once on the first database that has the answers."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """What must have been answered for the file to have the text."""
    by_error: bool = False
    """Whether a fixture notices, which pytest calls an error and not a failure."""


@dataclass(frozen=True)
class Option:
    """The description of one question, or of what every service has."""

    name: str
    kind: str = ""
    product: str = ""
    reason: str = ""
    sample: str = ""
    words: Mapping[str, re.Pattern[str] | None] = field(default_factory=dict)
    dependencies: Mapping[str, str] = field(default_factory=dict)
    mutations: tuple[Mutation, ...] = ()


def read_option(file: Path) -> Option:
    """Read one description.

    Raises:
        ValueError: it has a key that nothing reads, or a mutation without one that it needs.
    """
    details: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    _check_keys(file.name, Option, details)
    for entry in details.get("mutations", []):
        _check_keys(f"A mutation in {file.name}", Mutation, entry)
    words = {answer: _words(words) for answer, words in details.pop("words", {}).items()}
    mutations = tuple(_mutation(entry) for entry in details.pop("mutations", []))
    return Option(file.stem, words=words, mutations=mutations, **details)


def _check_keys(what: str, kind: type[Option | Mutation], given: Mapping[str, object]) -> None:
    """Refuse keys that are no fields, and require fields that have no default."""
    known = {
        field.name: field for field in fields(kind) if field.name != "name" or kind is Mutation
    }
    for key in given.keys() - known.keys():
        msg = f"{what} has {key!r}, which nothing reads: use {', '.join(known)}."
        raise ValueError(msg)
    for name, needed in known.items():
        if needed.default is needed.default_factory is MISSING and name not in given:
            msg = f"{what} lacks {name!r}."
            raise ValueError(msg)


def _words(pattern: str) -> re.Pattern[str] | None:
    return re.compile(pattern, re.IGNORECASE) if pattern else None


def _mutation(entry: dict[str, Any]) -> Mutation:
    lists = {key: tuple(entry.get(key, ())) for key in ("fails", "databases")}
    return Mutation(**(entry | lists))


@cache
def read_options(folder: Path = OPTIONS) -> dict[str, Option]:
    """Return the descriptions by the names of their questions, and that of every service."""
    return {file.stem: read_option(file) for file in sorted(folder.glob("*.toml"))}
