"""The effect of each answer on a render, kept in tests/golden/ for review.

Each answer that is not a default has one file. It lists the paths that the answer changes,
whatever the other answers are, followed by the diff from the default render. Two answers that
together change more than both of them separately have an additional file.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations as pairs_of
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from support.fragments import ADDRESS
from support.options import spelled
from support.programs import run
from support.questions import Combination, behavioural_product, read_questions
from support.rendering import Renders, git, texts_in
from support.root import ROOT, Answer

GOLDEN = ROOT / "tests" / "golden"

COMMAND = "uv run tools/regenerate.py"

ANSWERS_FILE = ".copier-answers.yml"
"""Copier's answers file; it changes with every new question."""

Texts = dict[str, str]


@dataclass(frozen=True)
class Change:
    """A non-default answer to one question."""

    question: str
    answer: Answer

    def __str__(self) -> str:
        """Return the name of its golden file, without the suffix."""
        texts = read_questions()[self.question].answers == []
        return self.question if texts else f"{self.question}.{spelled(self.answer)}"

    def text(self, render: Renders) -> str:
        """Return the expected text of its golden file."""
        lines = [f"# {what} {path}\n" for path, what in sorted(self.paths(render).items())]
        return "".join([*lines, "\n", difference(render({}), render({self.question: self.answer}))])

    def paths(self, render: Renders) -> dict[str, str]:
        """Return the changed paths and how they change, combined with other answers."""
        found: dict[str, str] = {}
        default = read_questions()[self.question].details["default"]
        # Behavior options meet every combination; other options meet every answer at least once.
        combinations = behavioural_product()
        if self.question not in combinations[0].behaviour:
            combinations = with_each_answer(combinations)
        for combination in combinations:
            if combination.behaviour.get(self.question, default) == default:
                answered = {**combination.answers, self.question: self.answer}
                found |= changed_paths(
                    _texts(render(combination.answers)), _texts(render(answered))
                )
        return found


def changed_paths(before: Texts, after: Texts) -> dict[str, str]:
    """Return the paths that differ, with the kind of change."""
    words = {(False, True): "adds", (True, False): "removes", (True, True): "touches"}
    return {
        path: words[path in before, path in after]
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }


def with_each_answer(combinations: Sequence[Combination]) -> list[Combination]:
    """Return the smallest selection of combinations that includes every answer."""
    chosen: list[Combination] = []
    missing = {answer for combination in combinations for answer in combination.answers.items()}
    while missing:
        best = max(combinations, key=lambda each: len(missing & each.answers.items()))
        chosen.append(best)
        missing -= best.answers.items()
    return chosen


def every_change() -> list[Change]:
    """Return a change for each non-default choice, and for each free text."""
    return [
        Change(question.name, answer)
        for question in read_questions().values()
        if not question.computed
        for answer in question.answers or [question.option.sample]
        if answer != question.details["default"]
    ]


def pairs() -> Iterator[tuple[Change, Change]]:
    """Yield all pairs of behavior changes that one service can combine."""
    behavioural = [each for each in every_change() if read_questions()[each.question].behavioural]
    for one, other in pairs_of(behavioural, 2):
        if one.question != other.question:
            yield one, other


def surprises(default: Texts, one: Texts, other: Texts, both: Texts) -> list[str]:
    """Return the paths where the two changes together differ from the merge of both."""
    found = []
    for path in sorted({*default, *one, *other, *both}):
        base, mine, theirs = (texts.get(path) for texts in (default, one, other))
        if base == mine:
            expected = theirs
        elif base == theirs or mine == theirs:
            expected = mine
        else:
            expected = _merged(base or "", mine or "", theirs or "")
        if both.get(path) != expected:
            found.append(path)
    return found


def _merged(base: str, mine: str, theirs: str) -> str | None:
    """Merge as git does; return None on a conflict."""
    with TemporaryDirectory(prefix="merge-") as folder:
        for name, text in {"base": base, "mine": mine, "theirs": theirs}.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        command = ("git", "merge-file", "--stdout", "mine", "base", "theirs")
        merged = run(*command, cwd=Path(folder), check=False)
    return merged.stdout if merged.exit_code == 0 else None


def files_of_pairs(render: Renders) -> dict[str, str]:
    """Return the text of each file for a pair of answers, by name."""
    files: dict[str, str] = {}
    default = _texts(render({}))
    for one, other in pairs():
        answers = {change.question: change.answer for change in (one, other)}
        single = [render({name: answer}) for name, answer in answers.items()]
        paths = surprises(default, _texts(single[0]), _texts(single[1]), _texts(render(answers)))
        if paths:
            files[f"{one}+{other}.diff"] = difference(single[0], render(answers), paths)
    return files


def golden_files(render: Renders) -> dict[str, str]:
    """Return the text of each file in tests/golden/, by name."""
    single = {f"{change}.diff": change.text(render) for change in every_change()}
    return single | files_of_pairs(render)


def difference(before: Path, after: Path, paths: Sequence[str] = ()) -> str:
    """Return the diff between two renders, in git's format.

    Deleted files are listed by name only.

    Args:
        before: a render.
        after: another render.
        paths: the paths to compare; all if empty.
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
            *("--no-renames", "--irreversible-delete", "--diff-algorithm=histogram", "--", *paths),
        )
    address = yaml.safe_load((before / ANSWERS_FILE).read_text(encoding="utf-8"))["_src_path"]
    # Index lines contain hashes, which depend on lines that are not shown.
    return "".join(
        line.replace(address, ADDRESS)
        for line in shown.splitlines(keepends=True)
        if not line.startswith("index ")
    )


def _texts(render: Path) -> Texts:
    return {path: text for path, text in texts_in(render).items() if path != ANSWERS_FILE}


def _copy(render: Path, to: Path) -> None:
    ignored = shutil.ignore_patterns(ANSWERS_FILE)
    shutil.copytree(render, to, ignore=ignored, dirs_exist_ok=True)
