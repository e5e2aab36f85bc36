"""What each answer changes is written down in tests/golden/, and nothing else changes."""

from pathlib import Path

import pytest

from support import golden
from support.golden import GOLDEN, Change, Changes
from support.questions import behavioural_product
from support.rendering import Renders

ADVICE = f"Run `{golden.COMMAND}`, and review what it changes in tests/golden/."

REVIEWED = golden.reviewed()


@pytest.mark.parametrize("change", golden.every_change(), ids=str)
def test_no_other_path_changes(change: Change, render: Renders) -> None:
    """Another answer adds, removes and touches what is listed for it, and nothing else."""
    assert change.made(render) == golden.read_paths().get(str(change)), ADVICE


@pytest.mark.parametrize("name", REVIEWED)
def test_differences_are_the_reviewed_ones(name: str, render: Renders) -> None:
    """Whoever reviews a change to the template has seen what it does to the services."""
    expected = (GOLDEN / name).read_text(encoding="utf-8") if (GOLDEN / name).exists() else None
    assert golden.difference(render({}), render(REVIEWED[name])) == expected, ADVICE


def test_nothing_is_left_over() -> None:
    """A choice that is gone leaves no list and no file behind."""
    assert set(golden.read_paths()) == {str(change) for change in golden.every_change()}, ADVICE
    assert {path.name for path in GOLDEN.iterdir()} == {golden.PATHS, *REVIEWED}, ADVICE


def test_changes_are_told_apart(tmp_path: Path) -> None:
    """What is added, removed and touched is listed; what stays the same is not."""
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, files in (
        (before, {"same": "1", "sub/touched": "1", "removed": "1"}),
        (after, {"same": "1", "sub/touched": "2", "added": "1"}),
    ):
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    changes = Changes.between(before, after)

    assert changes == Changes(adds=["added"], removes=["removed"], touches=["sub/touched"])
    assert changes | Changes(["more"], [], []) == Changes(
        ["added", "more"], ["removed"], ["sub/touched"]
    )


def test_every_answer_is_met_in_few_combinations() -> None:
    """As many combinations as the question with the most answers has, and not their product."""
    everything = behavioural_product()
    few = golden.with_each_answer(everything)

    assert len(few) == 3
    assert {answer for each in few for answer in each.answers.items()} == {
        answer for each in everything for answer in each.answers.items()
    }
