"""What a render says about choices that were not made."""

import re
from collections.abc import Mapping
from pathlib import Path

from support.questions import Answer
from support.rendering import texts_in


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


CHOICE_WORDS: Mapping[str, Mapping[Answer, re.Pattern[str] | None]] = {
    "license": {
        "MIT": _words(r"\bMIT\b"),
        "Apache-2.0": _words(r"\bApache\b"),
        "BSD-3-Clause": _words(r"\bBSD\b"),
        "proprietary": _words(r"proprietary|all rights reserved"),
    },
    "python_version": {
        version: _words(
            rf"(?<![\d.]){re.escape(version)}(?![\d.])|\bpy{version.replace('.', '')}\b"
        )
        for version in ("3.11", "3.12", "3.13", "3.14")
    },
    "database": {
        "sqlite": _words(r"sqlite"),
        "postgresql": _words(r"postgres|asyncpg|pgserver|pgbouncer"),
        "mysql": _words(r"mysql|maria|asyncmy"),
    },
    "ci": {"github": _words(r"github actions|github/workflows|\bthe workflow"), "none": None},
    "example": {True: _words(r"songs?\b|singer"), False: None},
}
"""For each choice the words that only a service with that choice has; None if it has none."""


def mentions(project: Path, answers: Mapping[str, Answer]) -> set[tuple[str, str]]:
    """Return which files speak of which choices that were not made: (path, "question=choice").

    Args:
        project: a render.
        answers: what was answered to the questions that are to be looked at.
    """
    texts = texts_in(project)
    return {
        (path, f"{question}={choice}")
        for question, answer in answers.items()
        for choice, words in CHOICE_WORDS[question].items()
        if choice != answer and words
        for path, text in texts.items()
        # Copier's own, which names each question.
        if path != ".copier-answers.yml" and words.search(f"{path}\n{text}")
    }
