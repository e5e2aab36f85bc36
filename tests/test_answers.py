"""Arbitrary input to the questions: either refused in a sentence, or rendered correctly."""

import ast
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar, cast

import pytest
import yaml
from copier.errors import UserMessageError
from hypothesis import given, settings
from hypothesis import strategies as st
from test_copy import copy, is_one_sentence
from test_file_options import PARSERS

from support import programs
from support.personas import begin
from support.questions import TEXT_OPTIONS, read_questions
from support.releases import History
from support.rendering import Template, files_in
from support.root import Answer

T = TypeVar("T")

ONE_LINE = ("project_name", "description", "author_name")
"""Questions that accept any line of text."""

HARMLESS = [
    *("no", "NO", "null", "~", "1e3", "0x1f", "1_000", "true", "2026-11-21", "12:30:45", "="),
    *("<<", "- a", "--help", "-", "# x", "a # b", "a: b", ":", "? a", "!tag", "&a", "*a", "@a"),
    *("%a", "|", '"', "'", '"""', "'''", "\\", "\\n", "\\u0041", "\\N{BULLET}", "C:\\new"),
    *('The "best" app', "'\"", '"\'"', "ends with \\", "{{ 7*7 }}", "{% raw %}", "{#", "#}"),
    *("${HOME}", "$(id)", "`id`", "{", "}", "[a]", "<b>", "]]>", "a | b", "  padded  "),
    *("é", "e\u0301", "\u202egnp", "\u200b", "\ufeff", "\U0001f469\u200d\U0001f467", "日本", "ß"),
    *("\xa0x", "\U0010ffff", "\ufffe", "x" * 90, "日" * 45),
]
"""Quotes, escapes, markup of every language in the template, and invisible characters."""

NOT_TEXT = [
    *("no", "True", "~", "null", "", "0", "1_000", "0x1f", "1.5", ".nan", "12:30:45", "2026-11-21"),
    *("[a]", "{a: b}", "2026-11-21 12:30:45"),
]
"""YAML that is not text, in some cases unexpectedly."""

NO_CHOICE: list[object] = [
    *("", "perhaps", "a\nb", "SQLITE", "'", '"', "{{ 1 }}", "%s", "x" * 10_000, "\ud800"),
    *(1.5, None, [], {"a": 1}),
]
"""Invalid choices of every type."""

YES_OR_NO = {
    "yes": True,
    "true": True,
    "1": True,
    "on": True,
    "no": False,
    "False": False,
    "0": False,
}


def product_of_either(names: Sequence[str], values: Sequence[T]) -> list[tuple[str, T]]:
    """Return the first name with each value, and the other names with the first value."""
    return [(names[0], value) for value in values] + [(name, values[0]) for name in names[1:]]


REFUSED = [
    *(" ", "\u3000"),
    *("\n", "a\nb", "a\r\nb", "\r", "a\tb", "\x00", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029"),
    # Between letters, so that the rule about blank text does not refuse them.
    *("a\rb", "a\x00b", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029b"),
    *("\ud800", "x" * 10_000),
]


@pytest.mark.parametrize("text", HARMLESS, ids=ascii)
def test_special_text_is_rendered_verbatim(text: str, template: Template, tmp_path: Path) -> None:
    """The answer is rendered as plain text in every file, and the formatter accepts the files."""
    answers = {**dict.fromkeys(ONE_LINE, text), "project_slug": "service"}

    project = template.render(tmp_path / "service", dict(answers))

    says_what_was_answered(project, answers)
    programs.run(sys.executable, "-m", "ruff", "format", "--check", "app", cwd=project)


@pytest.mark.parametrize("question", ONE_LINE)
@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:10]))
def test_multiline_text_is_refused(
    question: str, text: str, template: Template, tmp_path: Path
) -> None:
    """One sentence says so, and no files are written."""
    with pytest.raises((ValueError, UserMessageError)) as refusal:
        template.render(tmp_path / "service", {question: text})

    assert is_one_sentence(str(refusal.value))
    assert not (tmp_path / "service").exists()


@pytest.mark.parametrize("first", range(0, len(HARMLESS), len(ONE_LINE)))
def test_recopy_reads_answers_back(first: int, history: History, tmp_path: Path) -> None:
    """Special text in .copier-answers.yml is quoted correctly."""
    answers: dict[str, Answer] = {
        "project_slug": "nan",
        "example": False,
        **dict(zip(ONE_LINE, HARMLESS[first:], strict=False)),
    }
    project = history.current.render(tmp_path / "service", answers)
    begin(project)

    # Recopying reads the file like an update, in a quarter of the time.
    again = history.recopy if first else history.update
    again(project, data={"author_email": "ada@example.com"})

    says_what_was_answered(project, answers | {"author_email": "ada@example.com"})


@pytest.mark.parametrize(
    ("question", "scalar"), product_of_either(TEXT_OPTIONS, NOT_TEXT), ids=ascii
)
def test_unquoted_values_in_a_data_file_are_refused(
    question: str, scalar: str, template: Template, tmp_path: Path
) -> None:
    """A name that YAML parses as a number or as false is refused, not converted."""
    data = yaml.safe_load(f"{question}: {scalar}")
    assert not isinstance(data[question], str)

    with pytest.raises(UserMessageError, match=f"{question}: .+ is not text: put") as refusal:
        template.render(tmp_path / "service", data)

    assert is_one_sentence(str(refusal.value))
    assert not (tmp_path / "service").exists()


@pytest.mark.parametrize(("text", "meant"), YES_OR_NO.items())
def test_boolean_text_is_accepted(
    text: str, meant: bool, template: Template, tmp_path: Path
) -> None:
    """As passed by `--data example=...`."""
    project = template.render(tmp_path / "service", {"example": text})

    assert (project / "app" / "songs").exists() is meant
    says_what_was_answered(project, {"example": meant})


@pytest.mark.parametrize(
    ("question", "answer"),
    product_of_either([q.name for q in read_questions().values() if q.answers], NO_CHOICE),
    ids=lambda value: ascii(value)[:20],
)
def test_unknown_choices_are_refused(
    question: str, answer: object, template: Template, tmp_path: Path
) -> None:
    """One sentence lists the choices, and no files are written."""
    with pytest.raises(
        UserMessageError, match=f"{question}: .+ is not a valid choice: use"
    ) as refusal:
        template.render(tmp_path / "service", {question: cast("Answer", answer)})

    assert is_one_sentence(str(refusal.value))
    assert not (tmp_path / "service").exists()


def test_numeric_choices_in_a_data_file_are_accepted(template: Template, tmp_path: Path) -> None:
    """An unquoted 3.12 is accepted."""
    project = template.render(tmp_path / "service", yaml.safe_load("python_version: 3.12"))

    says_what_was_answered(project, {"python_version": "3.12"})


@pytest.mark.parametrize("given_in", ["--data", "--data-file"])
def test_answers_on_the_command_line_are_rendered(
    given_in: str, template: Template, tmp_path: Path
) -> None:
    """Answers can be given as strings and as YAML."""
    answers: dict[str, Answer] = {
        "project_name": "1e3",
        "description": "no",
        "author_name": '{{ 7 * 7 }} "null"',
        "database": "mysql",
        "python_version": "3.12",
        "example": False,
    }
    if given_in == "--data":
        options = [f"--data={name}={answer}" for name, answer in answers.items()]
    else:
        (tmp_path / "data.yml").write_text(yaml.safe_dump(answers), encoding="utf-8")
        options = [f"--data-file={tmp_path / 'data.yml'}"]

    copied = copy(template, tmp_path / "service", *options)

    assert copied.exit_code == 0, copied.report()
    says_what_was_answered(tmp_path / "service", answers)


NASTY = st.lists(st.sampled_from(HARMLESS), min_size=1, max_size=4).map("".join)

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)

# Weighted toward valid input, because refusals prove little.
LINES = st.one_of(NASTY, PRINTABLE, NASTY, PRINTABLE, NASTY, st.text(st.characters(codec=None)))

SLUG = st.from_regex(r"[a-z][a-z0-9]{,8}(-[a-z0-9]{1,8}){,2}", fullmatch=True)

EMAIL = st.emails(domains=st.sampled_from(["example.com", "a.b-c.example"]))

ANSWERS = st.fixed_dictionaries(
    dict.fromkeys(ONE_LINE, LINES),
    optional={
        "project_slug": st.one_of(SLUG, SLUG, SLUG, st.text()),
        "author_email": st.one_of(EMAIL, EMAIL, EMAIL, st.text()),
        **{
            name: st.sampled_from(question.answers)
            for name, question in read_questions().items()
            if question.answers
        },
    },
)
"""Random answers to any questions."""


def test_random_answers_are_rendered_or_refused(template: Template) -> None:
    """Renders are complete, and contain exactly the given answers."""
    seen = []

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(answers=ANSWERS)
    def answer(answers: dict[str, Answer]) -> None:
        with TemporaryDirectory(prefix="fuzzed-") as folder:
            seen.append(render_and_look(template, Path(folder, "service"), answers))

    answer()

    # Both outcomes must occur.
    assert seen.count("rendered") > 10
    assert seen.count("refused") > 10


def render_and_look(template: Template, project: Path, answers: Mapping[str, Answer]) -> str:
    """Render, check the result, and return "rendered" or "refused"."""
    try:
        template.render(project, answers)
    except (ValueError, UserMessageError) as error:
        refusal = str(error)
    else:
        says_what_was_answered(project, answers)
        return "rendered"
    assert is_one_sentence(refusal), refusal
    assert not project.exists()
    return "refused"


def says_what_was_answered(project: Path, answers: Mapping[str, Answer]) -> None:
    """Parse every file, and compare its values with the answers."""
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
    assert list(metadata["scripts"]) == [kept["project_slug"]]
    main = ast.parse((project / "app" / "main.py").read_text(encoding="utf-8"))
    titles = [
        ast.literal_eval(keyword.value)
        for node in ast.walk(main)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "title"
    ]
    assert titles == [kept["project_name"]]
