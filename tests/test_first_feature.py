"""The first feature, written as the manual of a rendered project says."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from support.development import Development
from support.projects import MANUAL, Project
from support.questions import Combination, behavioural_product

BLOCK = re.compile(r"^ *```(python|sh)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`([\w/]+\.py)`")


@dataclass(frozen=True)
class Step:
    """A numbered step: what it tells to write, and what to run."""

    title: str
    files: dict[str, str]
    commands: list[str]


def steps(readme: str) -> Iterator[Step]:
    """Yield the steps of the section about the first feature."""
    section = readme.partition("## Your first feature\n")[2].partition("\n## ")[0]
    for text in re.split(r"^\d\. ", section, flags=re.MULTILINE)[1:]:
        files: dict[str, str] = {}
        commands: list[str] = []
        for block in BLOCK.finditer(text):
            code = dedent(block[2])
            if block[1] == "python":
                *empty, path = PATH.findall(text[: block.start()])
                files |= dict.fromkeys(empty, "") | {path: code}
            else:
                commands += code.splitlines()
        yield Step(re.findall(r"\*\*(\w+)\.\*\*", text)[0], files, commands)


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", behavioural_product(), ids=str)
def test_first_feature_works_as_written(
    combination: Combination, make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """The five steps lead to a route that serves, and to a project whose checks pass."""
    project = make_project(tmp_path / "service", combination)
    project.sync()
    development = Development(project)
    before = project.tests()
    found = list(steps((project.path / MANUAL).read_text(encoding="utf-8")))
    assert [step.title for step in found] == ["Model", "Migration", "Schema", "Route", "Test"]

    with development.running() as service:
        for step in found:
            for name, code in step.files.items():
                file = project.path / name
                file.parent.mkdir(exist_ok=True)
                file.write_text(code, encoding="utf-8")
            for command in step.commands:
                project.run(*shlex.split(command))
        development.wait_until(lambda: service.get("/notes").status == 200)
        assert service.request("POST", "/notes", {"text": "hello"}).status == 201
        assert [note["text"] for note in json.loads(service.get("/notes").body)] == ["hello"]

    assert project.tests() == before + 2
    for check in ("ruff check", "ruff format --check", "mypy"):
        project.uv_run(*check.split())
