"""Typical edits of owners and typical changes of releases, and how the command merges them."""

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prewired.git import Git
from prewired.merging import merge
from prewired.project import ANSWERS, Project
from support.personas import begin
from support.programs import run, uv

Change = Callable[[str], str]
"""Returns the changed text of a file."""


@dataclass(frozen=True)
class Trial:
    """A file that both an owner and a release changed."""

    path: str
    edit: str
    """The name of the owner's edit."""
    change: str
    """The name of the release's change."""
    base: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Merged:
    """What became of a trial."""

    trial: Trial
    text: str
    conflict: bool

    @property
    def lost(self) -> list[str]:
        """Lines that a side added and the result lacks; for the owner also in a conflict."""
        sides = (self.trial.ours, self.trial.theirs)
        return [line for side in sides for line in lost(self.trial.base, side, self.text)]


def lost(base: str, changed: str, merged: str) -> list[str]:
    """Return the lines that were added to `base` and are missing from `merged`."""
    added = Counter(changed.splitlines()) - Counter(base.splitlines())
    return list((added - Counter(merged.splitlines())).elements())


def merge_all(trials: Sequence[Trial], folder: Path) -> list[Merged]:
    """Merge all trials at once, as the command does, each in its own subfolder of a project."""
    names = [f"{number}/{trial.path}" for number, trial in enumerate(trials)]
    for name, trial in zip(names, trials, strict=True):
        for side, text in (("service", trial.ours), ("base", trial.base), ("new", trial.theirs)):
            file = folder / side / name
            file.parent.mkdir(parents=True)
            file.write_text(text, encoding="utf-8")
    for side in ("service", "base", "new"):
        (folder / side / ANSWERS).write_text("_commit: v1.0.0\n", encoding="utf-8")
    begin(folder / "service")
    plan = merge(Project(folder / "service"), folder / "base", folder / "new")
    index = Git(folder / "service", {}, {"GIT_INDEX_FILE": str(folder / "index")})
    index("read-tree", plan.after)
    index("checkout-index", "--all", f"--prefix={folder / 'merged'}/")
    return [
        Merged(trial, (folder / "merged" / name).read_text("utf-8"), name in plan.conflicts)
        for name, trial in zip(names, trials, strict=True)
    ]


def after(anchor: str, *lines: str) -> Change:
    """Add lines after the only line that starts with `anchor`."""
    return _beside(anchor, lines, 1)


def before(anchor: str, *lines: str) -> Change:
    """Add lines before the only line that starts with `anchor`."""
    return _beside(anchor, lines, 0)


def _beside(anchor: str, added: Sequence[str], offset: int) -> Change:
    def change(text: str) -> str:
        lines = text.splitlines()
        found = [number for number, line in enumerate(lines) if line.lstrip().startswith(anchor)]
        assert len(found) == 1, f"Exactly one line must start with {anchor!r}."
        position = found[0]
        return "\n".join([*lines[: position + offset], *added, *lines[position + offset :], ""])

    return change


def inside(opening: str, *lines: str) -> Change:
    """Add lines at the end of the list that the line `opening` begins."""

    def change(text: str) -> str:
        start, whole, rest = text.partition(f"{opening}\n")
        assert whole, f"{opening!r} is missing."
        items, end, rest = rest.partition("\n]\n")
        assert end, f"{opening!r} has no end."
        return start + whole + "\n".join([items, *lines]) + end + rest

    return change


def at_end(*lines: str) -> Change:
    """Add lines at the end of the file."""
    return lambda text: "\n".join([text.removesuffix("\n"), *lines, ""])


def replaced(old: str, new: str) -> Change:
    """Replace the only occurrence of `old`."""

    def change(text: str) -> str:
        assert text.count(old) == 1, f"The file must contain {old!r} exactly once."
        return text.replace(old, new)

    return change


def combined(*changes: Change) -> Change:
    """Apply changes one after the other."""

    def change(text: str) -> str:
        for each in changes:
            text = each(text)
        return text

    return change


def in_each_table(text: str) -> dict[str, Change]:
    """Return changes that add a setting to a [tool] table, one for each table."""
    tables = re.findall(r"^\[(tool\..+)\]$", text, re.MULTILINE)
    assert tables
    setting = 'added-setting = ["value"]'
    changes = {f"setting in {table}": after(f"[{table}]", setting) for table in tables}
    # Its only setting is one that owners change: a blank line keeps the two apart.
    changes["setting in tool.ruff"] = before("[tool.ruff.lint]", setting, "")
    return changes


def uv_add(*arguments: str) -> Change:
    """Run `uv add`, without resolving anything."""

    def change(text: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "pyproject.toml")
            file.write_text(text, encoding="utf-8")
            run(uv(), "add", "--frozen", *arguments, cwd=file.parent)
            return file.read_text(encoding="utf-8")

    return change
