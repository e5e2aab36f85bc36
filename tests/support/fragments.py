"""Parts of the README that are generated from copier.yml and from renders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from support.checks import functions_in
from support.dead_weight import requirements
from support.questions import read_questions
from support.rendering import Renders, files_in
from support.root import ROOT, Answer

README = ROOT / "README.md"

ADDRESS = "<address of this repository>"
"""Placeholder in the commands of the README."""


def fragments(render: Renders) -> dict[str, str]:
    """Return the text of each generated part, by name."""
    return {
        "questions": question_table(),
        "databases": database_table(render),
    }


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Return the text with its generated parts replaced.

    Args:
        text: contains the lines `<!-- begin: NAME -->` and `<!-- end: NAME -->` for each part.
        parts: the text to insert between them.

    Raises:
        ValueError: these lines do not occur exactly once.
    """
    for name, part in parts.items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->\n"
        if text.count(begin) != 1 or text.count(end) != 1:
            msg = f"README.md needs one line `{begin.strip()}` and, below it, one `{end.strip()}`."
            raise ValueError(msg)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{part}\n{end}{after}"
    return text


def question_table() -> str:
    """Return a Markdown table of the questions, their answers, and the help texts."""
    rows = []
    for name, question in read_questions().items():
        if not question.computed:
            default = question.details["default"]
            choices = ", ".join(
                f"**{_shown(answer)}**" if answer == default else _shown(answer)
                for answer in question.answers
            )
            rows.append(
                (f"`{name}`", choices or "text", " ".join(question.details["help"].split()))
            )
    return _table(("Question", "Answers", "What it is about"), rows)


def database_table(render: Renders) -> str:
    """Return a Markdown table of the size of a service on each database."""
    projects = {
        database: render({"database": database})
        for database in read_questions()["database"].answers
    }
    shared = set.intersection(*map(requirements, projects.values()))
    rows = []
    for database, project in projects.items():
        code = [path for path in files_in(project) if path.suffix == ".py"]
        tests = [path for path in code if path.relative_to(project).parts[0] == "tests"]
        rows.append(
            (
                f"`{database}`",
                str(sum(_lines(path) for path in code if path not in tests)),
                str(sum(_lines(path) for path in tests)),
                str(sum(map(functions_in, tests))),
                ", ".join(f"`{name}`" for name in sorted(requirements(project) - shared)),
            )
        )
    return _table(
        ("Database", "Lines of Python", "of tests", "Test functions", "It alone needs"), rows
    )


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _shown(answer: Answer) -> str:
    return {True: "yes", False: "no"}[answer] if isinstance(answer, bool) else answer


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())
