"""Every license and Python version: files parse and agree with each other."""

import ast
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support import programs
from support.questions import (
    Combination,
    behavioural_product,
    file_product,
    read_questions,
    taking_turns,
)
from support.rendering import Template, texts_in
from support.root import Answer
from support.wording import mentions

TEXTS: dict[str, Answer] = {
    "project_name": 'The "best" app, c:\\new',
    "project_slug": "best-app",
    "description": 'It\'s "quick" # and {braces}',
    "author_name": 'Dwayne "Rock" Müller',
    "author_email": "rock@example.com",
}

LICENSE_TITLES = {
    "MIT": "MIT License",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "BSD 3-Clause License",
}

PARSERS: dict[str, Callable[[str], object]] = {
    ".json": json.loads,
    ".py": ast.parse,
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}

FILES = file_product()
FULL_PRODUCT = [
    Combination(behaviour, files)
    for behaviour, files in zip(
        taking_turns(FILES, [each.behaviour for each in behavioural_product()]), FILES, strict=True
    )
]
"""All combinations of file options, and all pairs with behavior options."""

PYTHON_VERSIONS = read_questions()["python_version"].answers


@pytest.mark.parametrize("combination", FULL_PRODUCT, ids=Combination.full_name)
def test_files_parse_and_agree(
    combination: Combination, template: Template, tmp_path: Path
) -> None:
    """Unusual but valid answers appear verbatim in every file."""
    answers = combination.answers | TEXTS
    project = template.render(tmp_path / "service", answers)
    texts = texts_in(project)
    parsed = {
        name: PARSERS[Path(name).suffix](text)
        for name, text in texts.items()
        if Path(name).suffix in PARSERS
    }

    remembered = parsed[".copier-answers.yml"]
    assert isinstance(remembered, dict)
    assert {name: remembered[name] for name in answers} == answers

    pyproject = parsed["pyproject.toml"]
    assert isinstance(pyproject, dict)
    metadata = pyproject["project"]
    version = str(answers["python_version"])
    assert metadata["name"] == answers["project_slug"]
    assert metadata["description"] == answers["description"]
    assert metadata["authors"] == [{"name": TEXTS["author_name"], "email": TEXTS["author_email"]}]
    assert metadata["requires-python"] == f">={version}"
    assert str(answers["project_slug"]) in metadata["scripts"]

    if title := LICENSE_TITLES.get(str(answers["license"])):
        assert metadata["license"] == answers["license"]
        assert metadata["license-files"] == ["LICENSE"]
        assert title in texts["LICENSE"]
        if answers["license"] != "Apache-2.0":  # has no author
            assert str(TEXTS["author_name"]) in texts["LICENSE"]
    else:
        assert "LICENSE" not in texts
        assert "license-files" not in metadata
        assert metadata["license"].startswith("LicenseRef-")
    assert ("All rights reserved" in texts["README.md"]) == ("LICENSE" not in texts)

    assert not mentions(project, combination.answers)


@pytest.mark.parametrize("version", PYTHON_VERSIONS)
@pytest.mark.parametrize("combination", behavioural_product(), ids=str)
def test_render_is_formatted_for_every_python(
    combination: Combination, version: str, template: Template, tmp_path: Path
) -> None:
    """The formatter and the linter depend on the minimum Python version."""
    answers = combination.answers | {"python_version": version}
    project = template.render(tmp_path / "service", answers)
    ruff = str(Path(sys.prefix, "bin", "ruff"))
    programs.run(ruff, "format", "--check", cwd=project)
    programs.run(ruff, "check", cwd=project)
