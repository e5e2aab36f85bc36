"""Tests of what the template owns: they run in renders, and no owner receives them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from support.questions import with_computed
from support.root import ROOT, Answer

PROOFS = ROOT / "tests" / "proofs"


def folders(answers: Mapping[str, Answer]) -> list[Path]:
    """Return the folders of proofs that fit the answers.

    A folder has the name of a yes/no question, asked or computed, where the answer is yes;
    of a database; or is called `core`.
    """
    values = with_computed(answers)
    names = {name for name, value in values.items() if value is True}
    return [
        folder
        for folder in sorted(PROOFS.iterdir())
        if folder.is_dir() and folder.name in {"core", values["database"], *names}
    ]


def drop(project: Path, answers: Mapping[str, Answer]) -> None:
    """Copy the proofs for these answers to tests/proofs/ of a rendered project."""
    target = project / "tests" / "proofs"
    target.mkdir(parents=True)
    (target / "__init__.py").touch()
    for file in PROOFS.glob("*.py"):
        shutil.copy(file, target)
    for folder in folders(answers):
        shutil.copytree(folder, target / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        (target / folder.name / "__init__.py").touch()
