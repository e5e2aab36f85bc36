"""The questions in copier.yml and the combinations of their answers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations as pairs_of
from itertools import product
from pathlib import Path
from typing import Any

import jinja2.sandbox
import yaml

from support.options import Option, read_options
from support.root import ROOT, Answer


@dataclass(frozen=True)
class Question:
    """A question in copier.yml."""

    name: str
    details: Mapping[str, Any]

    @property
    def computed(self) -> bool:
        """Whether the question is never asked: it is a computed value or a guard."""
        return self.details.get("when") is False

    @property
    def option(self) -> Option:
        """The option's description; without one, the answer is assumed to change code."""
        return read_options().get(self.name, Option(self.name, "behaviour", "full"))

    @property
    def behavioural(self) -> bool:
        """Whether the answer changes code."""
        return not self.computed and self.option.kind == "behaviour"

    @property
    def answers(self) -> list[Answer]:
        """All possible answers; empty for questions that are free text or never asked."""
        if self.computed:
            return []
        choices = self.details.get("choices")
        if isinstance(choices, Mapping):
            choices = choices.values()
        if choices:
            return [
                choice["value"] if isinstance(choice, Mapping) else choice for choice in choices
            ]
        return [True, False] if self.details.get("type") == "bool" else []


@cache
def read_questions(copier_yml: Path = ROOT / "copier.yml") -> dict[str, Question]:
    """Return the questions in the order in which they are asked."""
    settings = yaml.safe_load(copier_yml.read_text(encoding="utf-8"))
    return {
        name: Question(name, details)
        for name, details in settings.items()
        if not name.startswith("_")
    }


def names_of(kind: str) -> list[str]:
    """Return the names of the questions of a kind, in order."""
    return [q.name for q in read_questions().values() if not q.computed and q.option.kind == kind]


TEXT_OPTIONS = names_of("text")
FILE_OPTIONS = names_of("files")


def with_computed(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return the answers, the defaults of other questions, and computed values."""
    return computed(read_questions(), answers, INCLUDES)


def environment_of(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """Return a Jinja environment like Copier's, which includes files from `loader`."""
    return jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, loader=loader)


INCLUDES = environment_of(jinja2.FileSystemLoader(ROOT))


def computed(
    questions: Mapping[str, Question],
    answers: Mapping[str, Answer],
    environment: jinja2.Environment,
) -> dict[str, Any]:
    """Return the same for any questions and environment."""
    values: dict[str, Any] = {}
    for name, question in questions.items():
        default = question.details.get("default")
        if not question.computed:
            values[name] = answers.get(name, default)
        elif re.search("_copier_(conf|answers)", str(default)):
            values[name] = False  # as in an empty folder, from a template in a folder
        elif question.details.get("type") == "bool":
            values[name] = _compiled(environment, default).render(values) == "True"
    return values


@cache
def _compiled(environment: jinja2.Environment, text: str) -> jinja2.Template:
    return environment.from_string(text)


@dataclass(frozen=True)
class Combination:
    """Answers to all behavior questions, and optionally to file options."""

    behaviour: Mapping[str, Answer]
    files: Mapping[str, Answer] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name for test ids and tables, such as "sqlite-example"."""
        words = {True: "{}", False: "no_{}"}
        return "-".join(
            words[answer].format(name) if isinstance(answer, bool) else answer
            for name, answer in self.behaviour.items()
        )

    def full_name(self) -> str:
        """Return the name including file options, such as "sqlite-example-MIT-no_deploy"."""
        absent = (False, "none")
        words = [
            f"no_{name}" if answer in absent else name if answer is True else str(answer)
            for name, answer in self.files.items()
        ]
        return "-".join([str(self), *words])

    @property
    def answers(self) -> dict[str, Answer]:
        """All answers, as passed to Copier."""
        return {**self.behaviour, **self.files}

    @property
    def database(self) -> str:
        """The database, which determines the server that the combination needs."""
        return str(self.behaviour["database"])


def behavioural_product() -> list[Combination]:
    """Return the full product of the behavior options, in which pairwise ones take turns."""
    return product_of(_all())


def product_of(questions: Iterable[Question]) -> list[Combination]:
    """Return the behavior product of these questions only."""
    behavioural = [question for question in questions if question.behavioural]
    in_turn = [question for question in behavioural if question.option.product == "pairwise"]
    full = [question for question in behavioural if question not in in_turn]
    combinations = [Combination(answers) for answers in _product(full)]
    return [
        Combination(combination.answers)
        for combination in with_file_options(combinations, _product(in_turn))
    ]


def first_of_each_database() -> list[Combination]:
    """Return one combination per database, with the first answer to every other question."""
    first = {combination.database: combination for combination in reversed(behavioural_product())}
    return list(reversed(first.values()))


def largest_of_each_database() -> list[Combination]:
    """Return one combination per database, with every part that can be chosen."""
    largest = {
        combination.database: combination
        for combination in sorted(behavioural_product(), key=_number_of_parts)
    }
    return [largest[first.database] for first in first_of_each_database()]


def _number_of_parts(combination: Combination) -> int:
    return sum(answer not in (False, "none") for answer in combination.answers.values())


def first_of(database: str) -> Combination:
    """Return the first combination with a database."""
    return next(each for each in first_of_each_database() if each.database == database)


def file_product() -> list[dict[str, Answer]]:
    """Return the full product of the file options."""
    return _product(question for question in _all() if question.name in FILE_OPTIONS)


def every_choice() -> list[Combination]:
    """Return the behavior product, plus one combination for each answer to a file option."""
    behaviours = behavioural_product()
    single: list[dict[str, Answer]] = [
        {name: answer} for name in FILE_OPTIONS for answer in read_questions()[name].answers
    ]
    chosen = taking_turns(single, [each.behaviour for each in behaviours])
    with_files = zip(chosen, single, strict=True)
    return [*behaviours, *(Combination(behaviour, files) for behaviour, files in with_files)]


def with_file_options(
    combinations: Sequence[Combination], choices: Sequence[Mapping[str, Answer]]
) -> list[Combination]:
    """Assign each combination the file options that cover most pairs of answers not yet seen."""
    chosen = taking_turns([each.behaviour for each in combinations], choices)
    return [
        Combination(combination.behaviour, files)
        for combination, files in zip(combinations, chosen, strict=True)
    ]


def taking_turns(
    each: Sequence[Mapping[str, Answer]], choices: Sequence[Mapping[str, Answer]]
) -> list[Mapping[str, Answer]]:
    """Return one choice for each set of answers, to cover most pairs not yet seen."""
    seen: set[frozenset[tuple[str, Answer]]] = set()
    chosen = []
    for answers in each:

        def pairs(
            choice: Mapping[str, Answer], answers: Mapping[str, Answer] = answers
        ) -> set[frozenset[tuple[str, Answer]]]:
            return {frozenset(pair) for pair in pairs_of({**answers, **choice}.items(), 2)}

        chosen.append(max(choices, key=lambda choice: len(pairs(choice) - seen)))
        seen |= pairs(chosen[-1])
    return chosen


def _all() -> Iterable[Question]:
    return read_questions().values()


def _product(questions: Iterable[Question]) -> list[dict[str, Answer]]:
    chosen = list(questions)
    return [
        dict(zip((question.name for question in chosen), answers, strict=True))
        for answers in product(*(question.answers for question in chosen))
    ]
