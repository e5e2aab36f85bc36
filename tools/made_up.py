"""Write a checkout of this repository with made-up options, to measure what an option costs.

    uv run tools/made_up.py DESTINATION --options 3

1 adds a behavior option, 2 also a file option, and 3 another behavior option: 12, 12 and 24
combinations. The checkout has this repository's history, and `uv run pytest` works there.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

# The meta suite determines which files belong to the working tree.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.rendering import copy_working_tree, git
from support.root import ROOT

MADE_UP = ROOT / "tests" / "made_up"

OPTIONS = ("motto", "editorconfig", "slogan")


def read(option: str) -> dict[str, Any]:
    """Return an option's files, and the text that it inserts into others."""
    if option == "slogan":
        text = (MADE_UP / "motto.toml").read_text(encoding="utf-8")
        for style in (str.lower, str.capitalize, str.upper):
            text = text.replace(style("motto"), style("slogan"))
    else:
        text = (MADE_UP / f"{option}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def add(option: str, checkout: Path) -> None:
    """Add an option to a checkout.

    Raises:
        ValueError: an insertion point does not occur exactly once.
    """
    details = read(option)
    for name, text in details["files"].items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text, encoding="utf-8")
    for name, insert in details["insert"].items():
        file = checkout / name
        text, before = file.read_text(encoding="utf-8"), insert.get("before", "")
        if before and text.count(before) != 1:
            msg = f"{name} must contain {before!r} exactly once: fix tests/made_up/{option}.toml."
            raise ValueError(msg)
        position = text.index(before) if before else len(text)
        file.write_text(text[:position] + insert["text"] + text[position:], encoding="utf-8")


def write(checkout: Path, number: int) -> None:
    """Write a checkout with `number` made-up options, and commit them."""
    git(ROOT, "clone", "--quiet", "--no-checkout", str(ROOT), str(checkout))
    copy_working_tree(checkout)
    # Each option can be added only once.
    (checkout / "tests" / "test_made_up_options.py").unlink()
    for option in OPTIONS[:number]:
        add(option, checkout)
    subprocess.run([sys.executable, "tools/regenerate.py"], cwd=checkout, check=True)
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message=Add made-up options")


def main() -> None:
    """Parse the command line and write the checkout."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("destination", type=Path, help="a new folder")
    parser.add_argument("--options", type=int, choices=range(1, len(OPTIONS) + 1), default=2)
    arguments = parser.parse_args()
    write(arguments.destination.resolve(), arguments.options)


if __name__ == "__main__":
    main()
