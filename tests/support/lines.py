"""Counts lines of Python."""

import ast
import io
import tokenize
from pathlib import Path

LAYOUT = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
"""Tokens that are no code."""


def lines_of_code(folder: Path, *, docstrings: bool = False) -> int:
    """Count the lines of Python in a folder, without blank lines and comments."""
    return sum(
        lines_in(path.read_text(encoding="utf-8"), docstrings=docstrings)
        for path in folder.rglob("*.py")
    )


def lines_in(text: str, *, docstrings: bool = False) -> int:
    """Count the lines of a module, without blank lines and comments."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {
        line
        for token in tokens
        if token.type not in LAYOUT
        for line in range(token.start[0], token.end[0] + 1)
    }
    if not docstrings:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    # Long strings can contain blank lines.
    return sum(
        1 for number, line in enumerate(text.splitlines(), 1) if number in lines and line.strip()
    )
