"""Make docs/terminal.svg, the picture of a terminal in the README, from real output."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

# The meta suite runs the commands, and checks the file written here.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import interpreters
from support.environments import Environments
from support.picture import PICTURE, drawn, record
from support.projects import Project
from support.rendering import snapshot


def main() -> None:
    """Run the commands, and write the file."""
    with TemporaryDirectory(prefix="picture-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "home").mkdir()
        python = interpreters.at_least(interpreters.WANTED[0])
        environments = Environments(folder / "environments")
        terminals = record(
            snapshot(folder / "template"),
            folder / "home",
            lambda path: Project(path, python, environments=environments),
        )
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawn(terminals), encoding="utf-8")
    print(f"wrote {PICTURE.name}")


if __name__ == "__main__":
    main()
