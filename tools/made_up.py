"""Write a checkout of this repository with made-up options, to see what options cost.

    uv run tools/made_up.py DESTINATION --options 3

1 is an option of behaviour, 2 also one of files, and 3 another one of behaviour: 12, 12 and
24 combinations. The checkout has this repository's history, and `uv run pytest` runs there.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

# The meta suite knows what belongs to the working tree.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.rendering import copy_working_tree, git
from support.root import ROOT

MADE_UP = ROOT / "tests" / "made_up"

OPTIONS = ("motto", "editorconfig", "slogan")


def read(option: str) -> dict[str, Any]:
    """Return the files of an option, and what it inserts into others."""
    if option == "slogan":
        text = (MADE_UP / "motto.toml").read_text(encoding="utf-8")
        for style in (str.lower, str.capitalize, str.upper):
            text = text.replace(style("motto"), style("slogan"))
    else:
        text = (MADE_UP / f"{option}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def add(option: str, checkout: Path) -> None:
    """Write an option into a checkout.

    Raises:
        ValueError: a file does not have once what the option inserts text before.
    """
    details = read(option)
    for name, text in details["files"].items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text, encoding="utf-8")
    for name, insert in details["insert"].items():
        file = checkout / name
        text, before = file.read_text(encoding="utf-8"), insert.get("before", "")
        if before and text.count(before) != 1:
            msg = f"{name} does not have {before!r} once: change tests/made_up/{option}.toml."
            raise ValueError(msg)
        position = text.index(before) if before else len(text)
        file.write_text(text[:position] + insert["text"] + text[position:], encoding="utf-8")


def write(checkout: Path, number: int) -> None:
    """Write a checkout with that number of made-up options, and commit them."""
    git(ROOT, "clone", "--quiet", "--no-checkout", str(ROOT), str(checkout))
    copy_working_tree(checkout)
    # They can be added only once.
    (checkout / "tests" / "test_made_up_options.py").unlink()
    for option in OPTIONS[:number]:
        add(option, checkout)
    subprocess.run([sys.executable, "tools/regenerate.py"], cwd=checkout, check=True)
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message=Add made-up options")


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("destination", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--options", type=int, choices=range(1, len(OPTIONS) + 1), default=2)
    arguments = parser.parse_args()
    write(arguments.destination.resolve(), arguments.options)


if __name__ == "__main__":
    main()
