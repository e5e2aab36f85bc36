"""What a render says about choices that were not made."""

from collections.abc import Mapping
from pathlib import Path

from support.options import read_options, spelled
from support.rendering import texts_in
from support.root import Answer


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
        for choice, words in read_options()[question].words.items()
        if choice != spelled(answer) and words
        for path, text in texts.items()
        # Copier's own, which names each question.
        if path != ".copier-answers.yml" and words.search(f"{path}\n{text}")
    }
