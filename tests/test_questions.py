"""The combinations that the suite tests follow from copier.yml."""

import pytest

from support.questions import (
    FILE_OPTIONS,
    TEXT_OPTIONS,
    Question,
    behavioural_product,
    file_product,
    read_questions,
    with_file_options,
)

QUESTIONS = list(read_questions().values())


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_question_has_its_place_in_the_suite(question: Question) -> None:
    """A new question enters the product by itself, or somebody has declared what it is."""
    if question.behavioural:
        assert question.answers, (
            f"{question.name} takes any text: declare it in TEXT_OPTIONS, or give it choices."
        )
        assert "when" not in question.details, (
            f"{question.name} is asked only sometimes, which the product does not know about yet."
        )
    elif question.name in FILE_OPTIONS:
        assert question.answers, f"{question.name} takes any text, so it is no file option."
    elif question.name in TEXT_OPTIONS:
        assert not question.answers, f"{question.name} has choices, so it is no text option."


def test_declared_options_exist() -> None:
    """A renamed question leaves no stale declaration behind."""
    assert {*TEXT_OPTIONS, *FILE_OPTIONS} <= {question.name for question in QUESTIONS}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_question_teaches_and_has_a_default(question: Question) -> None:
    """`--defaults` needs the defaults; people need the help."""
    assert "default" in question.details
    if not question.computed:
        assert question.details.get("help", "").strip()


def test_the_product_is_full() -> None:
    """Every answer to every behavioural question meets every answer to the others."""
    combinations = behavioural_product()
    assert {(c.answers["database"], c.answers["example"]) for c in combinations} == {
        (database, example)
        for database in ("sqlite", "postgresql", "mysql")
        for example in (True, False)
    }
    assert len({str(combination) for combination in combinations}) == len(combinations)


def test_file_options_take_turns() -> None:
    """Where combinations are run, every licence and every Python version is among them."""
    covered = with_file_options(behavioural_product(), file_product())
    for name in FILE_OPTIONS:
        answers = {combination.answers[name] for combination in covered}
        assert answers == set(read_questions()[name].answers)
