"""The mutation check: break the wiring of a rendered service, and its own tests must notice.

A suite that is green only shows that nothing was found. Each mutation below takes away one thing
that the service promises; the generated tests that it names must then fail.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from support.databases import DatabaseServer
from support.options import Mutation, read_options
from support.projects import Project
from support.questions import Combination, behavioural_product

NOTICED = re.compile(r"^(FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A mutation of one combination."""

    mutation: Mutation
    combination: Combination

    @property
    def database(self) -> str:
        """The database that decides whether the case can be run here."""
        return self.combination.database

    def __str__(self) -> str:
        """Return the test's id."""
        return f"{self.combination}: {self.mutation.name}"


def where(mutation: Mutation) -> list[Combination]:
    """Return the combinations that a mutation is run in: one for each database, or just one."""
    fitting = [
        each
        for each in behavioural_product()
        if mutation.answers.items() <= each.answers.items()
        and each.database in (mutation.databases or [each.database])
    ]
    first = {each.database: each for each in reversed(fitting)}
    return list(first.values()) if mutation.databases else fitting[:1]


CASES = [
    Case(mutation, combination)
    for option in read_options().values()
    for mutation in option.mutations
    for combination in where(mutation)
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_mutation_is_up_to_date(case: Case, rendered: Callable[[Combination], Path]) -> None:
    """What it changes is there once, and so are the tests that it names; cheaper than to run it."""
    project = rendered(case.combination)
    read_once(project, case.mutation)
    for file, _, test in (name.partition("::") for name in case.mutation.fails):
        assert f"def {test}" in (project / file).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def proven_projects(
    kept_projects: Callable[[Combination], Project],
    servers: Callable[[Combination], DatabaseServer],
) -> Callable[[Combination], Project]:
    """Projects whose tests pass as rendered, on a server that is already running."""

    @cache
    def prove(name: str) -> Project:
        combination = combinations[name]
        project = kept_projects(combination).with_settings(
            TEST_DATABASE_URL=servers(combination).url
        )
        project.tests()
        return project

    combinations = {str(case.combination): case.combination for case in CASES}
    return lambda combination: prove(str(combination))


@pytest.mark.needs_server
@pytest.mark.parametrize("case", CASES, ids=str)
def test_mutation_is_caught(case: Case, proven_projects: Callable[[Combination], Project]) -> None:
    """Where the generated tests passed, the ones that the mutation names now fail."""
    project, fails = proven_projects(case.combination), case.mutation.fails
    stop_early = ["-x"] if len(fails) == 1 else []
    with mutated(project.path, case.mutation):
        finished = project.uv_run("pytest", "-q", *stop_early, *fails, check=False, timeout=120)
    # 1 is "tests failed"; with any other code, something else is wrong.
    assert finished.exit_code == 1, f"Not noticed: {finished.report()}"
    accepted = ("FAILED", "ERROR") if case.mutation.by_error else ("FAILED",)
    noticed = [test for word, test in NOTICED.findall(finished.stdout) if word in accepted]
    for test in fails:
        assert any(name.startswith(test) for name in noticed), f"Not noticed: {finished.report()}"


@contextmanager
def mutated(project: Path, mutation: Mutation) -> Iterator[None]:
    """Change the file, and put it back afterwards."""
    path, original = project / mutation.file, read_once(project, mutation)
    path.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def read_once(project: Path, mutation: Mutation) -> str:
    """Return the file's text, which must have once what the mutation replaces."""
    text = (project / mutation.file).read_text(encoding="utf-8")
    found = text.count(mutation.old)
    assert found == 1, f"Out of date: {mutation.file} has {found} times what is to be replaced."
    return text
