"""Mutants of rendered services, as created by `tools/mutants.py`."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from mutants import draw
from small_changes import Changes
from support.questions import Combination, first_of_each_database

CHANGED = {
    "a = b == c": ["a = b != c"],
    "a = 0 < b <= c": ["a = 1 < b <= c", "a = 0 <= b <= c", "a = 0 < b < c"],
    "a = (b) not in (c)": ["a = (b) in (c)"],
    "a = b and c and d": ["a = b or c and d", "a = b and c or d"],
    "if a: b = c": ["if (not (a)): b = c"],
    "if a is None: b = c": ["if a is not None: b = c"],
    "a = [b for b in c if b]": ["a = [b for b in c if (not (b))]"],
    "a = 1 if b else c": ["a = 2 if b else c", "a = 1 if (not (b)) else c"],
    "a = 5.0": ["a = 6.0"],
    "a = True": ["a = False"],
    "a = 'SET TIME ZONE'": ["a = 'SET TIME ZONEx'"],
    "await f()": ["pass"],
    "a.b = c": ["pass"],
    "a += b": ["pass"],
    "raise a": ["pass"],
    "def f(): return a": ["def f(): return None"],
    "a = f((b), c=(d))": ["a = f((b))"],
    "a = f(b=c, d=e,)": ["a = f(d=e,)", "a = f(b=c,)"],
    "a = é(b='ü')": ["a = é()", "a = é(b='üx')"],
    "a: Annotated[int, Query(ge=1)]": [
        "a: Annotated[int, Query()]",
        "a: Annotated[int, Query(ge=2)]",
    ],
    # No mutations, or only text for people.
    '"""Docstring."""': [],
    "a: Literal['b']": [],
    "def f(a: Literal['b']) -> Literal[1]: return None": [],
    "a = 'Words for people.'": [],
    "a = f'{b}c'": [],
    "a = f(help='text')": [],
    "a = logger.info('event', b=c)": ["a = logger.info('event')"],
    "a = None": [],
}


@pytest.mark.parametrize("code", CHANGED)
def test_mutations_change_one_part(code: str) -> None:
    """The surrounding code is preserved, including parentheses and multibyte characters."""
    source = code.encode()
    made = [change.of(source) for change in Changes(source).by_identity().values()]
    assert sorted(made) == sorted(CHANGED[code])


@pytest.fixture(scope="module")
def projects(rendered: Callable[[Combination], Path]) -> dict[str, Path]:
    """A project for each database."""
    return {each.database: rendered(each) for each in first_of_each_database()}


def test_mutants_are_valid_and_different(projects: dict[str, Path]) -> None:
    """A mutant that cannot be imported would always be detected."""
    drawn = draw(projects, 1, 10_000)
    assert len(drawn) > 500
    for mutant in drawn:
        source = (projects[mutant.database] / mutant.file).read_bytes()
        assert ast.dump(ast.parse(mutant.change.of(source))) != ast.dump(ast.parse(source))


def test_shared_code_is_drawn_once(projects: dict[str, Path]) -> None:
    """Shared code is drawn on any database, because different tests can detect the mutants."""
    drawn = [mutant for mutant in draw(projects, 1, 10_000) if mutant.file == "app/core/health.py"]
    places = [(mutant.change.start, mutant.change.new) for mutant in drawn]
    assert len(places) == len(set(places))
    assert {mutant.database for mutant in drawn} == projects.keys()


def test_seed_determines_the_sample(projects: dict[str, Path]) -> None:
    """Survivors can be reproduced; a larger sample includes all smaller ones."""
    drawn = draw(projects, 1, 20)
    assert drawn == draw(projects, 1, 30)[:20]
    assert not set(drawn) & set(draw(projects, 2, 3))
