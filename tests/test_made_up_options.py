"""The cost of adding an option, demonstrated with two made-up ones."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_mutations import CASES

from support import programs
from support.golden import GOLDEN
from support.questions import behavioural_product
from support.root import ROOT
from support.template_code import share

OPTIONS = ("motto", "editorconfig")

LOOK = """
import json
from support.questions import behavioural_product
from support.template_code import share
from test_mutations import CASES

print(json.dumps({
    "combinations": [str(combination) for combination in behavioural_product()],
    "mutations": [(case.mutation.file, case.mutation.name, case.database) for case in CASES],
    "share": share(),
}))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository with a made-up behavior option and a made-up file option."""
    path = tmp_path_factory.mktemp("made-up") / "repository"
    programs.run(sys.executable, "tools/made_up.py", str(path), "--options=2", cwd=ROOT)
    return path


@pytest.fixture(scope="module")
def seen(checkout: Path) -> dict[str, Any]:
    """The tests that the checkout's meta suite would run."""
    env = programs.environment(PYTHONPATH=str(checkout / "tests"))
    looked = programs.run(sys.executable, "-c", LOOK, cwd=checkout, env=env)
    found: dict[str, Any] = json.loads(looked.stdout)
    return found


def test_only_behavior_options_multiply_combinations(seen: dict[str, Any]) -> None:
    """The behavior option doubles the combinations; the file option adds none."""
    assert Counter(seen["combinations"]) == Counter(
        f"{combination}-{answer}"
        for combination in behavioural_product()
        for answer in ("motto", "no_motto")
    )


def test_option_adds_only_its_own_mutations(seen: dict[str, Any]) -> None:
    """The only additional mutations are the option's own."""
    before = Counter((case.mutation.file, case.mutation.name, case.database) for case in CASES)
    after = Counter(tuple(case) for case in seen["mutations"])

    own = ("app/core/motto/install.py", "the motto is not that of the settings", "sqlite")
    assert after == before + Counter([own])


def test_option_changes_only_its_own_golden_files(checkout: Path) -> None:
    """A review of an option covers only that option."""
    before, after = (
        {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
        for folder in (GOLDEN, checkout / GOLDEN.relative_to(ROOT))
    )

    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed >= {f"{option}.true.diff" for option in OPTIONS}
    # A pair of answers that change the same lines has its own file.
    assert [name for name in changed if not any(option in name for option in OPTIONS)] == []


def test_option_keeps_python_files_plain(checkout: Path, seen: dict[str, Any]) -> None:
    """Adding a setting and a middleware turns no Python file into a Jinja template."""

    def templates(folder: Path) -> set[str]:
        return {path.name for path in (folder / "template").rglob("*.py.jinja")}

    assert templates(checkout) == templates(ROOT)
    assert seen["share"] >= share()


@pytest.mark.parametrize(
    "test",
    [
        "tests/test_options.py",
        "tests/test_matrix.py::test_combination[sqlite-example-none-motto]",
        "tests/test_mutations.py::test_mutation_is_caught"
        "[sqlite-example-none-motto: the motto is not that of the settings]",
        "tests/test_update_rules.py::test_readme_lists_the_owner_of_each_file",
        "tests/test_copy.py::test_reserved_slugs_are_refused",
    ],
    ids=["descriptions", "combination", "mutation", "ownership", "slugs"],
)
def test_suite_passes_with_made_up_options(checkout: Path, test: str) -> None:
    """Descriptions are complete, a service with both is sound, and the mutation is caught."""
    command = (sys.executable, "-m", "pytest", "--numprocesses=0", "--require-all", test)
    programs.run(*command, cwd=checkout, timeout=300)
