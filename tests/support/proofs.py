"""Tests of the template's code that run in renders but are never shipped."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from support.questions import with_computed
from support.root import ROOT, Answer

PROOFS = ROOT / "tests" / "proofs"


def folders(answers: Mapping[str, Answer]) -> list[Path]:
    """Return the folders of proofs that fit the answers.

    A folder is named `core`, after a database, or after a yes/no question, asked or computed,
    whose answer must be yes.
    """
    values = with_computed(answers)
    names = {name for name, value in values.items() if value is True}
    return [
        folder
        for folder in sorted(PROOFS.iterdir())
        if folder.is_dir() and folder.name in {"core", values["database"], *names}
    ]


def drop(project: Path, answers: Mapping[str, Answer]) -> None:
    """Copy the proofs for these answers into tests/proofs/ of a rendered project."""
    target = project / "tests" / "proofs"
    target.mkdir(parents=True)
    (target / "__init__.py").touch()
    for file in PROOFS.glob("*.py"):
        shutil.copy(file, target)
    for folder in folders(answers):
        shutil.copytree(folder, target / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        (target / folder.name / "__init__.py").touch()
