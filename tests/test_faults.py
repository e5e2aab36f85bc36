"""Faults of the database and of the service, under load: a short form of benchmarks/faults.py."""

from collections.abc import Callable

import pytest

import faults
from support.projects import Project
from support.questions import Combination, first_of_each_database
from support.results import Say


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", first_of_each_database(), ids=str)
def test_nothing_is_lost_and_the_service_recovers(
    combination: Combination, kept_projects: Callable[[Combination], Project], say: Say
) -> None:
    """Each acknowledged write is kept, and each error is a 503."""
    project = kept_projects(combination)
    outcomes = list(faults.measure(project, combination.database, seconds=2))

    for outcome in outcomes:
        say(f"{combination.database}, {outcome}")
    wrong = [str(outcome) for outcome in outcomes if not outcome.is_right]
    assert not wrong, "\n".join(wrong)
    assert {outcome.fault for outcome in outcomes} == set(faults.FAULTS[combination.database])


@pytest.mark.parametrize(
    ("statuses", "lost", "recovery", "is_right"),
    [
        ([200, 201, 503, faults.UNREACHABLE], 0, 1.5, True),
        ([200, 500], 0, 1.5, False),
        ([200], 1, 1.5, False),
        ([200], 0, None, False),
    ],
)
def test_outcome_can_be_wrong(
    statuses: list[int], lost: int, recovery: float | None, is_right: bool
) -> None:
    """The suite notices losses, unexpected errors, and a service that does not recover."""
    outcome = faults.Outcome("fire", lost=lost, recovery=recovery)
    outcome.statuses.update(statuses)

    assert outcome.is_right is is_right
    assert str(outcome).startswith("fire: acknowledged 0, lost")
