"""Programs run in a terminal, and the styled lines that they print."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from support.services import STOP_TIMEOUT

COLUMNS, ROWS = 88, 40

TIMEOUT = 120.0

WEIGHTS = {"1": "bold", "2": "dim"}
COLORS = {
    "31": "red",
    "32": "green",
    "33": "yellow",
    "34": "blue",
    "35": "magenta",
    "36": "cyan",
}
"""Names of the ANSI codes that the programs use, besides those that reset them."""

ANSI = re.compile(r"\x1b\[([\d;]*)m")

Span = tuple[frozenset[str], str]
"""Names of styles, and text."""

Line = tuple[Span, ...]


class Terminal:
    """A pseudo-terminal in which a program runs."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        """Read what `process` prints from the file descriptor `screen`."""
        self.process = process
        self._screen = screen
        self._printed = b""

    @property
    def text(self) -> str:
        """What the program has printed so far."""
        return self._printed.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, text: str) -> str:
        """Return what is printed up to and including `text`, which must be printed in time."""
        while text not in self.text:
            assert self._read(), f"The program ended without {text!r}: {self.text}"
        before, found, _ = self.text.partition(text)
        return before + found

    def wait_for_end(self) -> str:
        """Return everything that is printed by the program, which must succeed in time."""
        while self._read():
            pass
        assert self.process.wait(STOP_TIMEOUT) == 0, self.text
        return self.text

    def _read(self) -> bool:
        """Read once; return whether the program still has the terminal open."""
        ready, _, _ = select.select([self._screen], [], [], TIMEOUT)
        assert ready, f"Nothing was printed for {TIMEOUT:.0f} s: {self.text}"
        chunk = b""
        with suppress(OSError):  # on Linux, the end is an error
            chunk = os.read(self._screen, 65536)
        self._printed += chunk
        return bool(chunk)


@contextmanager
def terminal(command: str, cwd: Path, env: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a shell command in a terminal, and interrupt it at the end if it still runs."""
    screen, keyboard = pty.openpty()
    fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=cwd,
        env={**env, "TERM": "xterm-256color"},
        stdin=keyboard,
        stdout=keyboard,
        stderr=keyboard,
        start_new_session=True,
    )
    os.close(keyboard)
    try:
        yield Terminal(process, screen)
    finally:
        _stop(process)
        os.close(screen)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT)


def styled(text: str) -> list[Line]:
    """Return the lines that a terminal shows for a program's output."""
    lines: list[Line] = []
    styles: frozenset[str] = frozenset()
    for row in text.rstrip("\n").split("\n"):
        # A carriage return starts the line again.
        first, *rest = ANSI.split(row.rpartition("\r")[2].rstrip())
        spans = [(styles, first)]
        for codes, part in zip(rest[::2], rest[1::2], strict=True):
            for code in codes.split(";"):
                styles = _after(code, styles)
            spans.append((styles, part))
        lines.append(_merged(spans))
    return lines


def _after(code: str, styles: frozenset[str]) -> frozenset[str]:
    """Return the styles after an ANSI code."""
    match code:
        case "" | "0":
            return frozenset()
        case "22":
            return styles - set(WEIGHTS.values())
        case "39":
            return styles - set(COLORS.values())
        case _ if code in COLORS:
            return styles - set(COLORS.values()) | {COLORS[code]}
        case _:
            return styles | {WEIGHTS[code]}


def _merged(spans: Iterable[Span]) -> Line:
    """Join neighbors of the same style."""
    groups = groupby((span for span in spans if span[1]), key=itemgetter(0))
    return tuple((styles, "".join(text for _, text in group)) for styles, group in groups)


def plain(line: Line) -> str:
    """Return the text of a line."""
    return "".join(text for _, text in line)


def wrapped(line: Line) -> list[Line]:
    """Return the rows that a line takes in the terminal."""
    cells = [(styles, cell) for styles, text in line for cell in text]
    starts = range(0, max(len(cells), 1), COLUMNS)
    return [_merged(cells[start : start + COLUMNS]) for start in starts]
