"""One page with what a run came to, and with the files of any two combinations compared."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import SequenceMatcher
from hashlib import sha256
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from support.questions import ROOT, Answer, Combination, behavioural_product
from support.rendering import Template, files_in, folders_first, git, snapshot
from support.results import Row

PAGE = Path(__file__).with_name("picture.html")

PLACEHOLDER = "@data@"

Hunk = list[tuple[int, int, int, int, int]]
"""Ranges of lines: whether they are equal (1) or not (0), and their begin and end in both texts."""


@dataclass(frozen=True)
class Render:
    """What the template makes of a combination."""

    combination: Combination
    files: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    """Why there are no files, if there are none."""


def write(path: Path, rows: Mapping[str, Row]) -> None:
    """Render every combination, and write the page."""
    with TemporaryDirectory(prefix="prewired-picture-") as folder:
        template = snapshot(Path(folder, "template"))
        renders = [
            render(template, combination, Path(folder, "renders", str(combination)))
            for combination in behavioural_product()
        ]
    about = {
        "version": template.tag,
        "commit": git(ROOT, "describe", "--always", "--dirty", "--exclude=*").strip(),
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
    path.write_text(page(describe(renders, rows, about)), encoding="utf-8")


def render(template: Template, combination: Combination, folder: Path) -> Render:
    """Render a combination into a folder, and read the result."""
    try:
        template.render(folder, combination.answers)
    except Exception as error:
        # The page is wanted most when something is broken.
        return Render(combination, fault=f"{type(error).__name__}: {error}")
    # Where the template lies is in the answers file, and is another place each time.
    files = {
        path: text.replace(str(template.path), "prewired") for path, text in read(folder).items()
    }
    return Render(combination, files)


def read(folder: Path) -> dict[str, str]:
    """Return the texts of all files below a folder, exactly as they are."""
    texts = {}
    for path in files_in(folder):
        content = path.read_bytes()
        try:
            # Not read_text, which would make one kind of line ending of all.
            text = content.decode()
        except UnicodeDecodeError:
            text = f"Not a text: {len(content)} bytes, SHA-256 {sha256(content).hexdigest()}\n"
        texts[path.relative_to(folder).as_posix()] = text
    return texts


def page(data: Mapping[str, Any]) -> str:
    """Return the page that shows the data."""
    # In a script element, only a "<" can be taken for something else than data.
    embedded = json.dumps(data, separators=(",", ":")).replace("<", r"\u003c")
    before, after = PAGE.read_text(encoding="utf-8").split(PLACEHOLDER)
    return f"{before}{embedded}{after}"


def describe(
    renders: Sequence[Render], rows: Mapping[str, Row], about: Mapping[str, str]
) -> dict[str, Any]:
    """Return all that the page shows, as it is embedded.

    For each path, every content is embedded once, and a combination refers to it by number. So
    the page grows with what the answers change, and not with the files of every combination.
    """
    combinations = [render.combination for render in renders]
    names = {str(combination) for combination in combinations}
    paths = {path for render in renders for path in render.files}
    in_order = sorted(paths, key=lambda path: folders_first(PurePosixPath(path)))
    return {
        "about": about,
        **_grid(combinations),
        "combinations": [
            {
                "name": str(render.combination),
                "fault": render.fault,
                **_result(render.combination, rows),
            }
            for render in renders
        ],
        "others": [
            {
                "name": row.name,
                "tests": row.tests,
                "wall": row.wall,
                "cpu": row.cpu,
                "verdict": row.verdict,
            }
            for row in rows.values()
            if row.name not in names
        ],
        "files": [_file(path, renders) for path in in_order],
    }


def _grid(combinations: Sequence[Combination]) -> dict[str, Any]:
    """Return the databases, and for each of the other answers the combinations by database."""
    databases = list(dict.fromkeys(combination.database for combination in combinations))
    found: list[tuple[dict[str, Answer], list[int | None]]] = []
    for number, combination in enumerate(combinations):
        others = dict(combination.behaviour)
        del others["database"]
        cells = next((cells for answers, cells in found if answers == others), None)
        if cells is None:
            cells = [None] * len(databases)
            found.append((others, cells))
        cells[databases.index(combination.database)] = number
    return {
        "columns": databases,
        "lines": [{"answers": answers, "cells": cells} for answers, cells in found],
    }


def _result(combination: Combination, rows: Mapping[str, Row]) -> dict[str, Any]:
    """Return what the rows say about a combination."""
    name = str(combination)
    own, covered = rows.get(name), rows.get(f"{name}, coverage")
    # Where a database has no server, no test came as far as naming the combination.
    verdict = own or rows.get(combination.database)
    return {
        "verdict": verdict.verdict if verdict else "not run",
        "tests": own and own.tests,
        "wall": own and own.wall,
        "coverage": covered and covered.coverage,
        "also_failed": [
            row.name.removeprefix(f"{name}, ")
            for row in rows.values()
            if row.name.startswith(f"{name}, ") and row.verdict.startswith("FAILED")
        ],
    }


def _file(path: str, renders: Sequence[Render]) -> dict[str, Any]:
    contents = [render.files.get(path) for render in renders]
    variants = list(dict.fromkeys(content for content in contents if content is not None))
    return {
        "path": path,
        "variants": variants,
        "of": [None if content is None else variants.index(content) for content in contents],
        # The way back is the same with its two sides exchanged.
        "hunks": [
            [hunks(old, new) for old in variants[:number]] for number, new in enumerate(variants)
        ],
    }


def hunks(old: str, new: str) -> list[Hunk]:
    """Return what `difflib.unified_diff` would print, as ranges of lines.

    The page has both texts anyway, and the ranges are a small part of the size of the diff.
    """
    # Without "junk" that is only common: a page that is written once can take its time.
    matcher = SequenceMatcher(None, lines(old), lines(new), autojunk=False)
    return [
        [
            (int(tag == "equal"), begin, end, new_begin, new_end)
            for tag, begin, end, new_begin, new_end in group
        ]
        for group in matcher.get_grouped_opcodes()
    ]


def lines(text: str) -> list[str]:
    """Split a text as the page does: only where a line feed is, which stays."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
