"""What each answer changes in a render, written down in tests/golden/ for people to review.

A reviewer of a change to the template sees there what the change does to the services.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import yaml

from support.questions import (
    FILE_OPTIONS,
    TEXT_OPTIONS,
    Combination,
    behavioural_product,
    read_questions,
)
from support.rendering import Renders, files_in, git
from support.root import ROOT, Answer

GOLDEN = ROOT / "tests" / "golden"

PATHS = "paths.yml"

COMMAND = "uv run tools/regenerate.py"


@dataclass(frozen=True)
class Changes:
    """The paths that differ between two renders."""

    adds: list[str]
    removes: list[str]
    touches: list[str]

    @classmethod
    def between(cls, before: Path, after: Path) -> Self:
        """Compare two renders."""
        old, new = _contents(before), _contents(after)
        return cls(
            adds=sorted(new.keys() - old.keys()),
            removes=sorted(old.keys() - new.keys()),
            touches=sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
        )

    def __or__(self, other: Self) -> "Changes":
        """Return what either changes."""
        return Changes(
            *(
                sorted({*mine, *theirs})
                for mine, theirs in zip(self.lists, other.lists, strict=True)
            )
        )

    @property
    def lists(self) -> tuple[list[str], list[str], list[str]]:
        """The three lists, in the order of the fields."""
        return self.adds, self.removes, self.touches


@dataclass(frozen=True)
class Change:
    """One question answered otherwise than by its default."""

    question: str
    answer: Answer

    def __str__(self) -> str:
        """Return the change as it would be given to `--data`."""
        answer = str(self.answer).lower() if isinstance(self.answer, bool) else self.answer
        return f"{self.question}={answer}"

    def made(self, render: Renders) -> Changes:
        """Return what it changes in a service, beside each answer that decides about code."""
        default = _default(self.question)
        changes = Changes([], [], [])
        # What changes code meets every combination, anything else every answer at least once.
        combinations = behavioural_product()
        if self.question not in combinations[0].behaviour:
            combinations = with_each_answer(combinations)
        for combination in combinations:
            if combination.behaviour.get(self.question, default) == default:
                answered = {**combination.answers, self.question: self.answer}
                changes |= Changes.between(render(combination.answers), render(answered))
        return changes


def with_each_answer(combinations: Sequence[Combination]) -> list[Combination]:
    """Return as few of the combinations as have all the answers that they have together."""
    chosen: list[Combination] = []
    missing = {answer for combination in combinations for answer in combination.answers.items()}
    while missing:
        best = max(combinations, key=lambda each: len(missing & each.answers.items()))
        chosen.append(best)
        missing -= best.answers.items()
    return chosen


def every_change() -> list[Change]:
    """Return a change for each choice that is not the default, and for each free text."""
    return [
        Change(question.name, answer)
        for question in read_questions().values()
        if not question.computed
        for answer in question.answers or [question.option.sample]
        if answer != question.details["default"]
    ]


def reviewed() -> dict[str, Mapping[str, Answer]]:
    """Return the answers whose whole difference from the defaults is kept: file name to answers."""
    combinations: dict[str, Mapping[str, Answer]] = {
        f"{combination}.diff": combination.answers
        for combination in behavioural_product()
        if any(answer != _default(name) for name, answer in combination.answers.items())
    }
    others: dict[str, Mapping[str, Answer]] = {
        f"{change.question}.{change.answer}.diff"
        if change.question in FILE_OPTIONS
        else f"{change.question}.diff": {change.question: change.answer}
        for change in every_change()
        if change.question in (*FILE_OPTIONS, *TEXT_OPTIONS)
    }
    return combinations | others


def difference(before: Path, after: Path) -> str:
    """Return the diff that turns one render into the other, as git shows it.

    Of a file that is not there any more, only the name is shown.
    """
    with TemporaryDirectory(prefix="difference-") as folder:
        both = Path(folder)
        git(both, "init", "--quiet")
        _copy(before, both)
        git(both, "add", "--all", "--force")
        git(both, "commit", "--quiet", "--message=before")
        git(both, "rm", "-r", "--quiet", ".")
        _copy(after, both)
        git(both, "add", "--all", "--force")
        shown = git(
            both,
            *("-c", "core.quotePath=false", "diff", "--cached", "--no-color", "--no-ext-diff"),
            *("--no-renames", "--irreversible-delete", "--diff-algorithm=histogram"),
        )
    # Those lines have hashes, which change with lines that are not shown.
    return "".join(
        line for line in shown.splitlines(keepends=True) if not line.startswith("index ")
    )


def paths(render: Renders) -> str:
    """Return the text of tests/golden/paths.yml."""
    lists: dict[str, dict[str, list[str]]] = {}
    for change in every_change():
        made = asdict(change.made(render))
        lists[str(change)] = {name: listed for name, listed in made.items() if listed}
    heading = (
        "# The paths that an answer changes, whatever the others are, compared with the default.\n"
        f"# Written by `{COMMAND}`.\n\n"
    )
    return heading + yaml.safe_dump(lists, sort_keys=False, width=100)


def read_paths() -> dict[str, Changes]:
    """Return what tests/golden/paths.yml allows."""
    listed = yaml.safe_load((GOLDEN / PATHS).read_text(encoding="utf-8"))
    return {
        name: Changes(*(changes.get(kind, []) for kind in ("adds", "removes", "touches")))
        for name, changes in listed.items()
    }


def _default(name: str) -> Answer:
    default: Answer = read_questions()[name].details["default"]
    return default


def _contents(render: Path) -> dict[str, bytes]:
    return {path.relative_to(render).as_posix(): path.read_bytes() for path in files_in(render)}


def _copy(render: Path, to: Path) -> None:
    shutil.copytree(render, to, dirs_exist_ok=True)
    answers = to / ".copier-answers.yml"
    lines = answers.read_text(encoding="utf-8").splitlines(keepends=True)
    # Where the template is, and its version, are no answers.
    answers.write_text("".join(line for line in lines if line[0] != "_"), encoding="utf-8")


def golden_files(render: Renders) -> dict[str, str]:
    """Return the name and the text of each file in tests/golden/."""
    default = render({})
    diffs = {name: difference(default, render(answers)) for name, answers in reviewed().items()}
    return {PATHS: paths(render), **diffs}
