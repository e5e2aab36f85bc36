"""docs/terminal.svg shows what the commands print today, and can be read everywhere."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from support import interpreters, picture
from support.environments import Environments
from support.fragments import ADDRESS, README
from support.picture import (
    FOLDER,
    PICTURE,
    drawn,
    elided,
    fixed,
    record,
)
from support.programs import environment
from support.projects import Project
from support.questions import first_of
from support.rendering import Template
from support.terminal import COLUMNS, ROWS, Line, plain, styled, terminal, wrapped

NAMESPACE = "{http://www.w3.org/2000/svg}"

ELEMENTS = {"svg", "title", "desc", "style", "rect", "circle", "text", "tspan"}
"""None of them refers to another file."""

PATH = re.compile(rf"(?<![\w/:@])/(?!{FOLDER[1:]}/)[\w.-]+")


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", [first_of("postgresql")], ids=str)
@pytest.mark.usefixtures("combination")
def test_picture_is_current(
    template: Template, settings: dict[str, str], environments: Environments, tmp_path: Path
) -> None:
    """The file is what the tool writes."""
    python = interpreters.at_least(interpreters.WANTED[0])
    terminals = record(
        template, tmp_path, lambda path: Project(path, python, settings, environments)
    )
    assert drawn(terminals).splitlines() == PICTURE.read_text(encoding="utf-8").splitlines(), (
        f"Run `{picture.COMMAND}`, and look at docs/{PICTURE.name}."
    )


def faults(text: str) -> list[str]:
    """Return what is wrong with a picture."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - this repository's own file
    except ET.ParseError:
        return ["not well-formed"]
    style = root.findtext(f"{NAMESPACE}style", "")
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    names = {each.tag.removeprefix(NAMESPACE) for each in root.iter()}
    attributes = {name for each in root.iter() for name in each.attrib}
    styles = {name for each in root.iter() for name in each.get("class", "").split()} - {"bold"}
    rows = ["".join(row.itertext()) for row in root.iter(f"{NAMESPACE}text")]
    found = {
        "no description": not all(root.findtext(NAMESPACE + name) for name in ("title", "desc")),
        "no role": root.get("role") != "img",
        "no rows": not rows,
        "no light colors": not all(f".{name} {{ fill: #" in light for name in styles),
        "no dark colors": not all(f".{name} {{ fill: #" in dark for name in styles),
        "external references": names - ELEMENTS
        or any(name.endswith(("href", "src")) for name in attributes)
        or re.search(r"url\(|@import", style),
        "long rows": max(map(len, rows), default=0) > COLUMNS,
        "path of a machine": any(PATH.search(row) for row in rows),
    }
    return [fault for fault, present in found.items() if present]


def test_picture_can_be_read_everywhere() -> None:
    """It is self-contained, described, light or dark, and fits the terminal."""
    assert faults(PICTURE.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("</svg>", "", "not well-formed"),
        (r"<desc.*</desc>", "", "no description"),
        ('role="img"', "", "no role"),
        (r"<text.*</text>\n", "", "no rows"),
        (r"\n\.green .*", "", "no light colors"),
        (r"\n  \.green .*", "", "no dark colors"),
        (r"@media \(prefers-color-scheme: dark\)", "@media print", "no dark colors"),
        ("</svg>", '<image href="https://example.com/a.png"/></svg>', "external references"),
        ("<rect", '<rect xml:base="a" href="b"', "external references"),
        ("</style>", "@font-face { src: url(a.woff2); }</style>", "external references"),
        ("INFO", "INFO" * 20, "long rows"),
        (FOLDER, "/root", "path of a machine"),
        ("Press ", "See /tmp/prewired-1/log. ", "path of a machine"),
    ],
)
def test_faults_are_found(old: str, new: str, fault: str) -> None:
    """Each fault is named."""
    text = PICTURE.read_text(encoding="utf-8")
    changed = re.sub(old, new, text)
    assert changed != text
    assert fault in faults(changed)


def test_address_is_that_of_the_readme() -> None:
    """The picture and the text show the same command."""
    assert ADDRESS in " ".join(README.read_text(encoding="utf-8").split())


PRINTED = """Service:  http://127.0.0.1:{port}
Database: postgresql+asyncpg://postgres@/postgres?host=%2F{folder}%2Fpostgresql-{name}
Will watch for changes in these directories: ['/{folder}/my-service/app']
Started reloader process [\x1b[36m\x1b[1m{pid}\x1b[0m] using \x1b[36mWatchFiles\x1b[0m
\x1b[32m{fill} \x1b[1m80 passed\x1b[0m\x1b[32m in {time} {fill}\x1b[0m"""


def test_varying_values_are_fixed() -> None:
    """Ports, folders, process IDs and durations do not change the picture."""
    once = {"port": 41213, "folder": "tmp", "name": "a_1", "pid": 7, "time": "9.87s"}
    again = {"port": 8001, "folder": "x", "name": "bcd2", "pid": 123, "time": "61.02s (0:01:01)"}
    lines, others = (
        fixed(PRINTED.format(**values, fill=fill), Path("/", str(values["folder"])), port)
        for values, fill, port in ((once, "=" * 34, 41213), (again, "=" * 28, 8001))
    )
    assert lines == others
    assert [plain(line) for line in lines[:1]] == ["Service:  http://127.0.0.1:8000"]
    assert len(plain(lines[-1])) == COLUMNS


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a1\na2", "a1\na2"),
        ("a1\nb\nb\na2", "a1\n…\na2"),
        ("b\na1\nb", "…\na1\n…"),
        ("\na1\n\n\na2", "a1\n\na2"),
        ("a1\na1", "a1\na1"),
    ],
)
def test_ellipsis_shows_what_is_left_out(printed: str, shown: str) -> None:
    """One line replaces several; blank lines are not repeated."""
    lines = elided(styled(printed), lambda text: not text.startswith("b"))
    assert "\n".join(map(plain, lines)) == shown


def test_blank_lines_can_be_left_out() -> None:
    """They need no ellipsis."""
    lines = elided(styled("a\n\na\n\nb"), "a".__eq__)
    assert list(map(plain, lines)) == ["a", "a", "…"]


def spans(*texts: tuple[str, str]) -> Line:
    """Return a line, given the styles of each text."""
    return tuple((frozenset(styles.split()), text) for styles, text in texts)


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("a", spans(("", "a"))),
        ("a \t", spans(("", "a"))),
        ("\x1b[32m.\x1b[0m\x1b[32m.\x1b[0m", spans(("green", ".."))),
        ("\x1b[1;31ma\x1b[mb", spans(("bold red", "a"), ("", "b"))),
        (
            "\x1b[1m\x1b[32ma\x1b[39mb\x1b[22mc",
            spans(("bold green", "a"), ("bold", "b"), ("", "c")),
        ),
        ("\x1b[31ma\x1b[32mb", spans(("red", "a"), ("green", "b"))),
        ("collecting ...\rcollected 2 items", spans(("", "collected 2 items"))),
    ],
)
def test_styles_are_read(printed: str, line: Line) -> None:
    """ANSI codes become names of styles."""
    assert styled(printed) == [line]


def test_unknown_styles_are_an_error() -> None:
    """They would silently be missing in the picture."""
    with pytest.raises(KeyError):
        styled("\x1b[4munderlined")


def test_styles_continue_on_the_next_line() -> None:
    """As in a terminal."""
    assert styled("\x1b[2ma\nb\n") == [spans(("dim", "a")), spans(("dim", "b"))]


def test_long_lines_are_wrapped() -> None:
    """As in a terminal; blank lines take a row, too."""
    line = spans(("", "a" * 80), ("green", "b" * 20))
    assert wrapped(line) == [spans(("", "a" * 80), ("green", "b" * 8)), spans(("green", "b" * 12))]
    assert wrapped(()) == [()]


def test_program_runs_in_a_terminal(tmp_path: Path) -> None:
    """It finds the size, and can be interrupted."""
    with terminal("stty size && exec sleep 600", tmp_path, environment()) as running:
        assert running.wait_for("\n") == f"{ROWS} {COLUMNS}\n"
        assert running.process.poll() is None
    assert running.process.poll() is not None


@pytest.mark.parametrize(
    ("command", "wait"),
    [
        ("echo started; exit 1", lambda running: running.wait_for_end()),
        ("echo started", lambda running: running.wait_for("ready")),
    ],
)
def test_failed_program_is_reported(
    command: str, wait: Callable[[object], str], tmp_path: Path
) -> None:
    """The error shows what was printed."""
    with (
        terminal(command, tmp_path, environment()) as running,
        pytest.raises(AssertionError, match="started"),
    ):
        wait(running)
