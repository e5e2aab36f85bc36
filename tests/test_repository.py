"""Consistency of the README and the changelog."""

import re
import tomllib

import pytest

from support.fragments import README, filled, fragments
from support.golden import COMMAND
from support.rendering import Renders
from support.root import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_changelog_has_the_version() -> None:
    """The release workflow takes its notes from the changelog."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\] - \d{4}-\d\d-\d\d\n+(\S*)", changelog, re.MULTILINE)

    newest, begins_with = sections[0]
    assert newest == VERSION, "CHANGELOG.md needs a section for the version in pyproject.toml."
    assert begins_with == "###", f"CHANGELOG.md has no entries for {newest}."


def test_readme_matches_renders(render: Renders) -> None:
    """Generated tables match copier.yml and current renders."""
    readme = README.read_text(encoding="utf-8")

    parts = fragments(render)

    assert filled(readme, parts) == readme, f"Run `{COMMAND}`."


def test_generated_parts_require_one_place() -> None:
    """A missing or ambiguous place for a generated part is an error."""
    place = "<!-- begin: a -->\nold\n<!-- end: a -->\n"

    assert filled(place, {"a": "new \\1"}) == place.replace("old", "new \\1")
    for text in ("", place + place, place.replace("end", "and")):
        with pytest.raises(ValueError, match="one line `<!-- begin: a -->`"):
            filled(text, {"a": "new"})
