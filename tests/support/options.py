"""Description and promises of each option: options/QUESTION.toml, one file per question.

    kind          "behaviour" changes Python or tests, "files" only adds files or metadata,
                  "text" is free text, which is data and never code
    product       for "behaviour": "full" meets all answers of others, "pairwise" takes turns
    reason        why "pairwise" is enough
    sample        for "text": an answer that is not the default
    [words]       answer = a regular expression for words that occur only in services with that
                  answer; empty if there are none
    [dependencies] added dependency = reason
    [[mutations]] a change that breaks a promise, and the tests that must detect it

options/base.toml has the dependencies and mutations that apply to every service.
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
    """Return an answer as written after `--data` and in descriptions."""
    return str(answer).lower() if isinstance(answer, bool) else answer


@dataclass(frozen=True)
class Mutation:
    """A change to one file of a rendered project, and the tests that must detect it."""

    name: str
    file: str
    old: str
    """Text that occurs exactly once in the file."""
    new: str
    fails: tuple[str, ...]
    """Test files, or single tests as `file::test`; each must fail."""
    databases: tuple[str, ...] = ()
    """Databases to run on; if empty, only the first database that fits `answers`."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Answers required for the text to be in the file."""
    by_error: bool = False
    """Whether a fixture detects the mutation, which pytest reports as an error, not a failure."""


@dataclass(frozen=True)
class Option:
    """The description of one question, or of the base of every service."""

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
        ValueError: a key is unknown, or a mutation lacks a required key.
    """
    details: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    _check_keys(file.name, Option, details)
    for entry in details.get("mutations", []):
        _check_keys(f"A mutation in {file.name}", Mutation, entry)
    words = {answer: _words(words) for answer, words in details.pop("words", {}).items()}
    mutations = tuple(_mutation(entry) for entry in details.pop("mutations", []))
    return Option(file.stem, words=words, mutations=mutations, **details)


def _check_keys(what: str, kind: type[Option | Mutation], given: Mapping[str, object]) -> None:
    """Reject unknown keys and require fields without a default."""
    known = {
        field.name: field for field in fields(kind) if field.name != "name" or kind is Mutation
    }
    for key in given.keys() - known.keys():
        msg = f"{what} has an unknown key {key!r}: use {', '.join(known)}."
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
    """Return the descriptions by question, including the base of every service."""
    return {file.stem: read_option(file) for file in sorted(folder.glob("*.toml"))}
