"""Tests of the template's code that run in renders but are never shipped."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from support.questions import read_questions, with_computed
from support.root import ROOT, Answer

PROOFS = ROOT / "tests" / "proofs"


def folders(answers: Mapping[str, Answer]) -> list[Path]:
    """Return the folders of proofs that fit the answers, each after the one that contains it.

    A folder is named `core`, after a database, or after a question, asked or computed, whose
    answer must be neither no nor `none`. A folder in another one is for both answers, as
    `auth/example` is, or belongs to it, as `auth/mail` does.
    """
    values = with_computed(answers)
    fitting = {name for name, value in values.items() if value not in (False, "none")}
    fitting |= {"core", values["database"]}

    def fits(folder: Path) -> bool:
        first, *others = folder.relative_to(PROOFS).parts
        return first in fitting and all(
            name in fitting or name not in read_questions() for name in others
        )

    return [
        folder
        for folder in sorted(PROOFS.rglob("*"))
        if folder.is_dir() and folder.name != "__pycache__" and fits(folder)
    ]


def drop(project: Path, answers: Mapping[str, Answer]) -> None:
    """Copy the proofs for these answers into tests/proofs/ of a rendered project."""
    target = project / "tests" / "proofs"
    target.mkdir(parents=True)
    for folder in (PROOFS, *folders(answers)):
        copy = target / folder.relative_to(PROOFS)
        copy.mkdir(exist_ok=True)
        (copy / "__init__.py").touch()
        for file in folder.iterdir():
            if file.is_file():
                shutil.copy(file, copy)
