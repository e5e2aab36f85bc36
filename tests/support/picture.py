"""The picture of a terminal in the README: real commands, and what they print.

Lines can be left out, which an ellipsis shows, and values that differ from run to run are
replaced by fixed ones. Everything else is shown as a terminal of that width shows it.
"""

import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise, repeat
from pathlib import Path

from support import programs
from support.drawing import svg
from support.fragments import ADDRESS
from support.projects import Project
from support.rendering import Template
from support.root import ROOT
from support.terminal import ANSI, COLUMNS, Line, plain, styled, terminal, wrapped

PICTURE = ROOT / "docs" / "terminal.svg"

COMMAND = "uv run tools/picture.py"

NEW = f"""uvx --from {ADDRESS} \\
    prewired new my-service --defaults --data database=postgresql"""
TEST = "cd my-service && uv run pytest"
DEV = "uv run my-service dev"
REQUEST = """curl localhost:8000/songs --json '{"title": "Levitating", "artist": "Dua Lipa"}'"""

TESTS = re.compile(r"tests/|=+ \d+ passed")
LOG = re.compile(r"\d{4}-\d\d-\d\dT")

STARTED = "Application startup complete."

SGR = rf"(?:{ANSI.pattern.replace('(', '(?:')})*"

FIXED = {
    # Erases the line that shows the progress.
    r"\x1b\[2K": "",
    # Where the database's sockets are.
    r"host=\S*postgresql-\w+": "host=%2Ftmp%2Fpostgresql-k3v9x2ab",
    rf"(?<=reloader process \[)({SGR})\d+": r"\g<1>4217",
    r"(?<= in )\d+\.\d+s(?: \(\d+:\d\d:\d\d\))?": "3.41s",
}
"""What differs from run to run, and what is shown instead."""

FOLDER, PORT = "/home/you", 8000

BOLD, DIM = frozenset({"bold"}), frozenset({"dim"})

ELLIPSIS: Line = ((DIM, "…"),)


@dataclass(frozen=True)
class Step:
    """A command as it is typed, and the lines shown of its output."""

    command: str
    lines: Sequence[Line]


def record(
    template: Template, folder: Path, project_in: Callable[[Path], Project]
) -> list[list[Step]]:
    """Run the commands in an empty folder, and return the steps in each of two terminals.

    Args:
        template: what the service is rendered from.
        folder: an empty folder.
        project_in: returns the project in a rendered folder.
    """
    folder, port = folder.resolve(), programs.free_port()
    env = _environment(folder)
    # Not from the address, and with the versions in uv.lock.
    new = NEW.replace(f"uvx --from {ADDRESS}", shlex.quote(sys.executable) + " -m")
    new += f" --from {shlex.quote(str(template.path))}"
    created = _printed(new, folder, programs.environment(**env))
    project = project_in(folder / "my-service")
    project.sync()
    env = project.environment(env)
    tested = _printed(TEST, folder, env)
    with terminal(f"{DEV} --port {port}", project.path, env) as dev:
        started = dev.wait_for(STARTED)
        answer = _printed(REQUEST.replace(str(PORT), str(port)), folder, env)
    shown = partial(fixed, folder=folder, port=port)
    return [
        [
            Step(NEW, shown(created)[1:]),
            Step(TEST, elided(shown(tested), lambda text: bool(TESTS.match(text)))),
            Step(DEV, elided(shown(started), lambda text: not LOG.match(text))),
        ],
        [Step(REQUEST, shown(answer))],
    ]


def _environment(folder: Path) -> dict[str, str]:
    """Return variables for the commands, which ignore the user's settings of git."""
    settings = folder / "gitconfig"
    settings.write_text("[user]\n    name = You\n    email = you@example.com\n", encoding="utf-8")
    return {
        # The commands call uv by its name.
        "PATH": os.pathsep.join([str(Path(programs.uv()).parent), programs.environment()["PATH"]]),
        "GIT_CONFIG_GLOBAL": str(settings),
        "UV_NO_PROGRESS": "1",
    }


def _printed(command: str, folder: Path, env: dict[str, str]) -> str:
    with terminal(command, folder, env) as running:
        return running.wait_for_end()


def fixed(text: str, folder: Path, port: int) -> list[Line]:
    """Return the lines of an output without what differs from run to run."""
    text = text.replace(str(folder), FOLDER).replace(f":{port}", f":{PORT}")
    for pattern, value in FIXED.items():
        text = re.sub(pattern, value, text)
    return styled("\n".join(map(_filled, text.split("\n"))))


def _filled(line: str) -> str:
    """Fit a line of equals signs around a title to the terminal, as pytest does."""
    title = ANSI.sub("", line).strip("=")
    if not title.startswith(" ") or not title.endswith(" "):
        return line
    return re.sub("=+", "=" * ((COLUMNS - len(title)) // 2), line)


def elided(lines: Sequence[Line], is_shown: Callable[[str], bool]) -> list[Line]:
    """Return the lines to show; an ellipsis replaces others, and a blank line several."""
    kept = [line if is_shown(plain(line)) else ELLIPSIS for line in lines if line or is_shown("")]
    repeatable = (ELLIPSIS, ())
    return [
        line for before, line in pairwise([(), *kept]) if line != before or line not in repeatable
    ]


def drawn(terminals: Sequence[Sequence[Step]]) -> str:
    """Return the picture as SVG."""
    return svg(
        "From a copy of the template to a running service",
        "In one terminal, the command creates a service with PostgreSQL, its tests pass, and its "
        "development server starts. In another terminal, a request to it is answered.",
        [[row for line in _lines(steps) for row in wrapped(line)] for steps in terminals],
    )


def _lines(steps: Sequence[Step]) -> list[Line]:
    """Return the commands with their prompts, and what they print; blank lines separate them."""
    lines: list[Line] = []
    for step in steps:
        prompts = chain(["$ "], repeat("> "))
        typed = zip(prompts, step.command.split("\n"), strict=False)
        lines += [(), *(((DIM, prompt), (BOLD, text)) for prompt, text in typed), *step.lines]
    return lines[1:]
