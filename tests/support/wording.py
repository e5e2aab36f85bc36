"""Mentions of choices that were not made."""

from collections.abc import Mapping
from pathlib import Path

from support.options import read_options, spelled
from support.rendering import texts_in
from support.root import Answer


def mentions(project: Path, answers: Mapping[str, Answer]) -> set[tuple[str, str]]:
    """Return the mentions of choices that were not made, as (path, "question=choice").

    Args:
        project: a render.
        answers: the answers to the questions to check.
    """
    texts = texts_in(project)
    return {
        (path, f"{question}={choice}")
        for question, answer in answers.items()
        for choice, words in read_options()[question].words.items()
        if choice != spelled(answer) and words
        for path, text in texts.items()
        # Copier's answers file, which names every question.
        if path != ".copier-answers.yml" and words.search(f"{path}\n{text}")
    }
