"""What changed between two releases of the template: its changelog, and files of the owner's."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from prewired.git import Git

OWNED = (":(glob)template/app/*", ":(glob)template/tests/*")
"""Files that the template renders once, and that belong to the owner from then on."""

SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\]", re.MULTILINE)
URGENT = "Breaking"


@dataclass(frozen=True)
class Notes:
    """What an owner should know about a newer release."""

    urgent: str = ""
    """Breaking changes, with manual steps."""
    others: str = ""
    """All other changes."""
    owned: str = ""
    """A diff of the template's files that belong to the owner."""
    questions: dict[str, Any] | None = None
    """copier.yml of the newer release."""


@contextmanager
def fetched(address: str, *tags: str) -> Iterator[Git | None]:
    """Fetch releases of the template into a temporary repository, or yield None."""
    with tempfile.TemporaryDirectory() as temporary:
        git = Git(Path(temporary))
        git("init", "--quiet", "--bare")
        refs = [f"refs/tags/{tag}:refs/tags/{tag}" for tag in tags]
        done = git.succeeds("fetch", "--quiet", "--depth=1", "--no-tags", address, *refs)
        yield git if done else None


def read_notes(address: str, old: str, new: str) -> Notes:
    """Read the notes of the releases after `old`, up to `new`; both are tags."""
    with fetched(address, old, new) as git:
        if git is None:
            return Notes()
        shown = git.run("show", f"refs/tags/{new}:CHANGELOG.md")
        urgent, others = between(shown.stdout if shown.returncode == 0 else "", old, new)
        return Notes(
            urgent,
            others,
            git("diff", f"refs/tags/{old}", f"refs/tags/{new}", "--", *OWNED).strip(),
            yaml.safe_load(git("show", f"refs/tags/{new}:copier.yml")),
        )


def between(changelog: str, old: str, new: str) -> tuple[str, str]:
    """Return the breaking and the other changes of the releases after `old`, up to `new`."""
    first, last = _version(old), _version(new)
    parts = SECTION.split(changelog)
    urgent: list[str] = []
    others: list[str] = []
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        version = _version(name)
        if version is None or first is None or last is None or not first < version <= last:
            continue
        for block in re.split(r"^(?=### )", text, flags=re.MULTILINE)[1:]:
            title, _, body = block.partition("\n")
            chosen = urgent if title == f"### {URGENT}" else others
            chosen.append(f"{name}, {title.removeprefix('### ').lower()}:\n\n{body.strip()}")
    return "\n\n".join(urgent), "\n\n".join(others)


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def choices(questions: dict[str, Any], answers: dict[str, Any]) -> dict[str, list[str]]:
    """Return the other choices of each question that has choices, by its name."""
    found = {}
    for name, details in questions.items():
        if name.startswith("_") or name not in answers:
            continue
        listed = details.get("choices", [True, False] if details.get("type") == "bool" else [])
        values = list(listed.values()) if isinstance(listed, dict) else list(listed)
        if others := [str(value) for value in values if value != answers[name]]:
            found[name] = others
    return found
