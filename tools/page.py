"""Build the page that is published with each release: every service, and what is proven about it.

The page is one file that needs no network. The same commit always gives the same bytes.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

import copier

# The meta suite has the helpers for rendering and counting, and the mutations to list.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from test_mutations import where

from support import proofs
from support.checks import LEAST_COVERAGE, functions, functions_in
from support.fragments import ADDRESS
from support.golden import ANSWERS_FILE
from support.options import Mutation, read_options, spelled
from support.questions import Combination, Question, behavioural_product, read_questions
from support.rendering import copy_working_tree, folders_first, quick_copier, texts_in, version_tag
from support.root import Answer

PARTS = Path(__file__).with_suffix("")

LEFT_OUT = {"license", "python_version"}
"""Questions that change a few lines only; each would multiply the renders by four."""

CHOSEN = [
    question
    for question in read_questions().values()
    if question.answers and question.name not in LEFT_OUT
]
"""The questions in the form; the others keep their defaults."""

DEFAULTS: dict[str, Answer] = {question.name: question.details["default"] for question in CHOSEN}


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("destination", type=Path, help="the HTML file to write")
    parser.add_argument("--address", default=ADDRESS, help="where Copier finds the template")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="page-", ignore_cleanup_errors=True) as folder:
        page = build(content(Path(folder), arguments.address))
    arguments.destination.write_text(page, encoding="utf-8")
    print(f"wrote {arguments.destination} ({len(page.encode()) / 1e6:.2f} MB)")


def build(data: Mapping[str, Any]) -> str:
    """Return the page's HTML, with everything inlined."""
    html, css, js = (
        (PARTS / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    # No text may close the script element that contains the data.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Template(html).substitute(css=css, js=js, data=text, version=data["version"])


def content(folder: Path, address: str) -> dict[str, Any]:
    """Return what the page shows as JSON; the folder is empty, for renders."""
    names = [question.name for question in CHOSEN]
    every = [
        dict(zip(names, answers, strict=True))
        for answers in product(*(question.answers for question in CHOSEN))
    ]
    # From a folder without Git, Copier renders several times as fast, but knows no release.
    template = folder / "template"
    copy_working_tree(template)
    tag = version_tag(template)
    jobs = [(template, folder / str(number), answers) for number, answers in enumerate(every)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        renders = list(pool.map(render, jobs))
    projects = {key(answers): texts_in(path) for answers, path in zip(every, renders, strict=True)}
    for texts in projects.values():
        texts[ANSWERS_FILE] = texts[ANSWERS_FILE].replace(
            "_src_path:", f"_commit: {tag}\n_src_path:"
        )
        for path, text in texts.items():
            texts[path] = text.replace(str(template), address)
    # Each distinct file is stored once; their order is the order on the page.
    files = sorted(
        {file for texts in projects.values() for file in texts.items()},
        key=lambda file: (folders_first(Path(file[0])), file),
    )
    numbers = {file: number for number, file in enumerate(files)}
    return {
        "version": tag.removeprefix("v"),
        "address": address,
        "questions": [described(question) for question in CHOSEN],
        "files": files,
        "projects": {
            name: sorted(numbers[file] for file in texts.items())
            for name, texts in projects.items()
        },
        "coverage": LEAST_COVERAGE,
        "results": [
            result(each, renders[every.index(DEFAULTS | each.answers)])
            for each in behavioural_product()
        ],
        "mutations": [
            mutation(each) for option in read_options().values() for each in option.mutations
        ],
    }


def key(answers: Mapping[str, Answer]) -> str:
    """Return the key of a project on the page."""
    return ",".join(map(spelled, answers.values()))


def render(job: tuple[Path, Path, Mapping[str, Answer]]) -> Path:
    """Render a template into a folder with some answers."""
    template, folder, answers = job
    with quick_copier():
        copier.run_copy(
            str(template),
            folder,
            data=dict(answers),
            defaults=True,
            quiet=True,
            settings=copier.Settings(),
        )
    return folder


def described(question: Question) -> dict[str, Any]:
    """Return a question with its default and its choices, each with a label."""
    choices = question.details.get("choices") or {"Yes": True, "No": False}
    if not isinstance(choices, Mapping):
        choices = {str(choice): choice for choice in choices}
    return {
        "name": question.name,
        "help": " ".join(question.details["help"].split()),
        "default": spelled(question.details["default"]),
        "choices": [[label, spelled(answer)] for label, answer in choices.items()],
    }


def result(combination: Combination, project: Path) -> dict[str, Any]:
    """Return the lines of Python, and the tests that the suite runs on answers that change code."""
    lines = sum(len(file.read_text("utf-8").splitlines()) for file in project.rglob("*.py"))
    folders = proofs.folders(combination.answers)
    proven = sum(functions_in(file) for folder in folders for file in folder.glob("test_*.py"))
    return {
        "answers": {name: spelled(answer) for name, answer in combination.answers.items()},
        "counts": [lines, functions(project / "tests"), proven],
    }


def mutation(each: Mutation) -> dict[str, Any]:
    """Return a mutation, and the databases on which it must be detected."""
    return {
        "name": each.name,
        "file": each.file,
        "old": each.old.strip("\n"),
        "new": each.new.strip("\n"),
        "fails": each.fails,
        "databases": sorted({combination.database for combination in where(each)}),
    }


if __name__ == "__main__":
    main()
