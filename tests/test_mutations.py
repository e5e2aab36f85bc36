"""Mutation checks: break the wiring of a rendered service, and its own tests must fail.

Passing tests alone prove little. Each mutation removes one promise of the service; the tests that
it names must then fail.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from support import proofs
from support.databases import ELSEWHERE, DatabaseServer
from support.forked import Runner, changed, forking
from support.options import Mutation, read_options
from support.projects import Project, outcomes
from support.questions import Combination, behavioural_product

NOTICED = re.compile(r"^(FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A mutation in one combination."""

    mutation: Mutation
    combination: Combination

    @property
    def database(self) -> str:
        """The database, which determines whether the case can run on this machine."""
        return self.combination.database

    def __str__(self) -> str:
        """Return the test id."""
        return f"{self.combination}: {self.mutation.name}"


def where(mutation: Mutation) -> list[Combination]:
    """Return the combinations to run a mutation in: one per database, or only one."""
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
def test_mutation_is_up_to_date(
    case: Case, rendered: Callable[[Combination], Path], tmp_path: Path
) -> None:
    """Its text occurs exactly once and its tests exist; this is cheaper than running it."""
    project = rendered(case.combination)
    read_once(project, case.mutation)
    proofs.drop(tmp_path, case.combination.answers)
    for file, _, test in (name.partition("::") for name in case.mutation.fails):
        found = [folder / file for folder in (project, tmp_path) if (folder / file).exists()]
        assert found, f"{file} does not exist."
        assert f"def {test}" in found[0].read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def runners(
    make_project: Callable[..., Project],
    servers: Callable[[Combination], DatabaseServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Combination], tuple[Project, Runner]]]:
    """Projects to mutate, whose selected tests pass without mutations."""
    with ExitStack() as stack:

        @cache
        def start(name: str) -> tuple[Project, Runner]:
            cases = [case for case in CASES if str(case.combination) == name]
            combination = cases[0].combination
            project = make_project(tmp_path_factory.mktemp("mutated") / "service", combination)
            proofs.drop(project.path, combination.answers)
            project.sync()
            env = {"TEST_DATABASE_URL": servers(combination).url, "TZ": ELSEWHERE}
            runner = stack.enter_context(forking(project, env))
            passing = runner.pytest(
                *sorted({test for case in cases for test in case.mutation.fails})
            )
            assert list(outcomes(passing)) == ["passed"], passing.report()
            return project, runner

        yield lambda combination: start(str(combination))


@pytest.mark.needs_server
@pytest.mark.parametrize("case", CASES, ids=str)
def test_mutation_is_caught(
    case: Case, runners: Callable[[Combination], tuple[Project, Runner]]
) -> None:
    """The named tests fail with the mutation."""
    project, runner = runners(case.combination)
    mutation = case.mutation
    mutated = read_once(project.path, mutation).replace(mutation.old, mutation.new)
    stop_early = ["-x"] if len(mutation.fails) == 1 else []
    with changed(project.path / mutation.file, mutated):
        finished = runner.pytest("-q", *stop_early, *mutation.fails)
    # Exit code 1: some tests failed. Any other code is an unrelated error.
    assert finished.exit_code == 1, f"Not noticed: {finished.report()}"
    accepted = ("FAILED", "ERROR") if mutation.by_error else ("FAILED",)
    noticed = [test for word, test in NOTICED.findall(finished.stdout) if word in accepted]
    for test in mutation.fails:
        assert any(name.startswith(test) for name in noticed), f"Not noticed: {finished.report()}"


def read_once(project: Path, mutation: Mutation) -> str:
    """Return the file's text, which must contain the replaced text exactly once."""
    text = (project / mutation.file).read_text(encoding="utf-8")
    found = text.count(mutation.old)
    assert found == 1, f"Out of date: {mutation.file} contains the text to replace {found} times."
    return text
