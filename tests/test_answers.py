"""Whatever a person can paste into a question: refused in a sentence, or rendered right."""

import ast
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from copier.errors import UserMessageError
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from test_copy import is_one_sentence
from test_file_options import PARSERS

from support import programs
from support.questions import Answer
from support.rendering import Template, files_in

ONE_LINE = ("project_name", "description", "author_name")
"""The questions that take any line of text."""

HARMLESS = [
    *("no", "NO", "null", "~", "1e3", "0x1f", "1_000", "true", "2026-11-21", "12:30:45", "="),
    *("<<", "- a", "--help", "-", "# x", "a # b", "a: b", ":", "? a", "!tag", "&a", "*a", "@a"),
    *("%a", "|", '"', "'", '"""', "'''", "\\", "\\n", "\\u0041", "\\N{BULLET}", "C:\\new"),
    *('The "best" app', "'\"", '"\'"', "ends with \\", "{{ 7*7 }}", "{% raw %}", "{#", "#}"),
    *("${HOME}", "$(id)", "`id`", "{", "}", "[a]", "<b>", "]]>", "a | b", "  padded  "),
    *("é", "e\u0301", "\u202egnp", "\u200b", "\ufeff", "\U0001f469\u200d\U0001f467", "日本", "ß"),
    *("\xa0x", "\U0010ffff", "\ufffe"),
]
"""Quotes, escapes, markup of every language in the template, and characters that nobody sees."""

REFUSED = [
    *("\n", "a\nb", "a\r\nb", "\r", "a\tb", "\x00", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029"),
    *("\ud800", "x" * 10_000),
]


@pytest.mark.parametrize("text", HARMLESS, ids=ascii)
def test_text_that_looks_like_something_else(text: str, template: Template, tmp_path: Path) -> None:
    """It is text, and nothing but text, wherever it goes; and the formatter leaves it alone."""
    answers = {**dict.fromkeys(ONE_LINE, text), "project_slug": "service"}

    project = template.render(tmp_path / "service", dict(answers))

    says_what_was_answered(project, answers)
    programs.run(sys.executable, "-m", "ruff", "format", "--check", "app", cwd=project)


@pytest.mark.parametrize("question", ONE_LINE)
@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:10]))
def test_text_that_is_not_one_line(
    question: str, text: str, template: Template, tmp_path: Path
) -> None:
    """One sentence says so, and nothing is written."""
    with pytest.raises((ValueError, UserMessageError)) as refusal:
        template.render(tmp_path / "service", {question: text})

    assert is_one_sentence(str(refusal.value))
    assert not (tmp_path / "service").exists()


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    answers=st.fixed_dictionaries(
        dict.fromkeys(ONE_LINE, st.text(st.characters(codec=None), min_size=1, max_size=30)),
        optional={"project_slug": st.text(max_size=10), "author_email": st.text(max_size=10)},
    )
)
def test_any_text(template: Template, answers: dict[str, str]) -> None:
    """Nothing is half-written, and what is written says exactly what was answered."""
    with TemporaryDirectory(prefix="fuzzed-") as folder:
        project = Path(folder, "service")
        try:
            template.render(project, dict(answers))
        except (ValueError, UserMessageError) as error:
            refusal = str(error)
        else:
            event("rendered")
            says_what_was_answered(project, answers)
            return
        event("refused")
        assert is_one_sentence(refusal), refusal
        assert not project.exists()


def says_what_was_answered(project: Path, answers: Mapping[str, Answer]) -> None:
    """Parse every file, and compare what it holds with the answers."""
    for file in files_in(project):
        text = file.read_text(encoding="utf-8")
        if parse := PARSERS.get(file.suffix):
            parse(text)
    kept = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert {name: kept[name] for name in answers} == answers
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["name"] == kept["project_slug"]
    assert metadata["description"] == kept["description"]
    (author,) = metadata.get("authors", [{}])
    assert author.get("name", "") == kept["author_name"]
    assert author.get("email", "") == kept["author_email"]
    module = ast.parse((project / "app" / "__init__.py").read_text(encoding="utf-8"))
    names = {
        target.id: ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert names["PROJECT_NAME"] == kept["project_name"]
    assert names["DISTRIBUTION"] == kept["project_slug"]
