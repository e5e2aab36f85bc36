"""Regenerate tests/golden/, tests/public_names.txt and the generated parts of README.md."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

# The meta suite renders the template, and checks the files written here.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.fragments import README, filled, fragments
from support.golden import GOLDEN, golden_files
from support.public import RECORD, record
from support.rendering import Renders, snapshot


def main() -> None:
    """Write the files, and report which of them changed."""
    with TemporaryDirectory(prefix="regenerate-", ignore_cleanup_errors=True) as folder:
        render = Renders(snapshot(Path(folder, "template")), Path(folder, "renders"))
        files = {GOLDEN / name: text for name, text in golden_files(render).items()}
        files[RECORD] = record(render)
        files[README] = filled(README.read_text(encoding="utf-8"), fragments(render))
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.iterdir():
        if path not in files:
            path.unlink()
            print(f"removed {path.name}")
    for path, text in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
