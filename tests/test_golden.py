"""tests/golden/ describes all changes that answers cause."""

from pathlib import Path

import pytest

from support import golden
from support.golden import GOLDEN, changed_paths, surprises
from support.questions import behavioural_product
from support.rendering import Renders

ADVICE = f"Run `{golden.COMMAND}`, and review the changes in tests/golden/."


@pytest.mark.parametrize("change", golden.every_change(), ids=str)
def test_answer_matches_golden_file(change: golden.Change, render: Renders) -> None:
    """Reviewers of a template change see its effect on services."""
    file = GOLDEN / f"{change}.diff"
    expected = file.read_text(encoding="utf-8") if file.exists() else None
    assert change.text(render) == expected, ADVICE


def test_pairs_of_answers_match_golden_files(render: Renders) -> None:
    """The effect of two answers is the sum of their effects, or it has a reviewed file."""
    assert list(golden.pairs())
    # All other files in the folder belong to pairs.
    single = {f"{change}.diff" for change in golden.every_change()}
    kept = {
        path.name: path.read_text(encoding="utf-8")
        for path in GOLDEN.iterdir()
        if path.name not in single
    }
    assert golden.files_of_pairs(render) == kept, ADVICE


def test_changed_paths_are_classified() -> None:
    """Added, removed and changed paths are listed; unchanged paths are not."""
    before = {"same": "1", "touched": "1", "removed": "1"}
    after = {"same": "1", "touched": "2", "added": "1"}

    expected = {"added": "adds", "removed": "removes", "touched": "touches"}
    assert changed_paths(before, after) == expected


@pytest.mark.parametrize(
    ("one", "other", "both", "surprised"),
    [
        ("a\nb\nc\nd\n", "a\nb\nc\nd\n", "a\nb\nc\nd\n", False),
        ("A\nb\nc\nd\n", "a\nb\nc\nd\n", "A\nb\nc\nd\n", False),
        ("A\nb\nc\nd\n", "a\nb\nc\nD\n", "A\nb\nc\nD\n", False),
        ("A\nb\nc\nd\n", "a\nb\nc\nD\n", "A\nb\nC\nD\n", True),
        ("A\nb\nc\nd\n", "B\nb\nc\nd\n", "A\nb\nc\nd\n", True),
        ("a\nb\nc\nd\n", "a\nb\nc\nd\n", None, True),
        (None, "a\nb\nc\nd\n", None, False),
    ],
)
def test_unmerged_pairs_are_surprises(
    one: str | None, other: str | None, both: str | None, surprised: bool
) -> None:
    """Changes to one file merge cleanly, or count as a surprise."""
    texts = [{} if text is None else {"file": text} for text in (one, other, both)]

    assert surprises({"file": "a\nb\nc\nd\n"}, *texts) == (["file"] if surprised else [])


def test_few_combinations_cover_every_answer() -> None:
    """The number of combinations is that of the largest question, not the product."""
    everything = behavioural_product()
    few = golden.with_each_answer(everything)

    assert len(few) == 3
    assert {answer for each in few for answer in each.answers.items()} == {
        answer for each in everything for answer in each.answers.items()
    }


def test_answers_file_is_not_compared(tmp_path: Path) -> None:
    """Copier's answers file names every question, so each new one would change all golden files."""
    for name, text in (("before", "_src_path: x\n"), ("after", "_src_path: x\nb: 2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / golden.ANSWERS_FILE).write_text(text, encoding="utf-8")
        (tmp_path / name / "README.md").write_text("The same.\n", encoding="utf-8")

    assert golden.difference(tmp_path / "before", tmp_path / "after") == ""
