"""What an owner should know about an update: the changelog, and changes to their own files."""

import re
from difflib import unified_diff
from pathlib import Path
from typing import Any

from prewired.project import Project
from prewired.template import Answers, version_of

SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\]", re.MULTILINE)
URGENT = "Breaking"


def changes_between(changelog: str, old: str, new: str) -> tuple[str, str]:
    """Return the breaking and the other changes of the releases after `old`, up to `new`.

    Both are Markdown, with one line for each paragraph.
    """
    first, last = version_of(old), version_of(new)
    parts = SECTION.split(changelog)
    urgent: list[str] = []
    others: list[str] = []
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        version = version_of(name)
        if version is None or first is None or last is None or not first < version <= last:
            continue
        text = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
        for block in re.split(r"^(?=### )", text, flags=re.MULTILINE)[1:]:
            title, _, body = block.partition("\n")
            text = _unwrapped(body.strip())
            if title == f"### {URGENT}":
                urgent.append(f"## {name}\n\n{text}")
            else:
                others.append(f"## {name}, {title.removeprefix('### ').lower()}\n\n{text}")
    return "\n\n".join(urgent), "\n\n".join(others)


def _unwrapped(text: str) -> str:
    """Join the lines of each paragraph: GitHub keeps line breaks in issues and pull requests."""
    return re.sub(r"(?<=[^\n|])\n *(?![ \n|]|[-*] |\d+\. )", " ", text)


def owned_changes(before: Path, after: Path, project: Path) -> dict[str, list[str]]:
    """Return the template's changes to files that belong to the owner, as lines of a diff by path.

    Files and folders that the owner deleted or moved are left out.

    Args:
        before: the files in a render of the project's release.
        after: the files in a render of the new release.
        project: the folder of the project.
    """
    files = {
        file.relative_to(side): None
        for side in (before, after)
        for file in sorted(side.rglob("*"))
        if file.is_file()
    }
    differences = {}
    for file in files:
        old, new = _lines(before / file), _lines(after / file)
        is_missed = not old and (project / file).parent.is_dir()
        if old != new and (is_missed or (project / file).exists()):
            name = file.as_posix()
            compared = unified_diff(old, new, f"a/{name}", f"b/{name}", lineterm="")
            differences[name] = list(compared)
    return differences


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def choices(questions: dict[str, Any], answers: Answers) -> dict[str, list[str]]:
    """Return the other choices of each question that has choices, by its name."""
    found = {}
    for name, details in questions.items():
        if name not in answers:
            continue
        listed = details.get("choices", [True, False] if details.get("type") == "bool" else [])
        values = list(listed.values()) if isinstance(listed, dict) else list(listed)
        if others := [str(value) for value in values if value != answers[name]]:
            found[name] = others
    return found


def own_changes(project: Project, base: Path) -> list[str]:
    """Return the template's files that the owner changed or deleted.

    Args:
        project: the project.
        base: render of its release, without files that are the owner's alone.
    """
    changed = []
    for file in sorted(path for path in base.rglob("*") if path.is_file()):
        name = file.relative_to(base).as_posix()
        held = project.git.run("cat-file", "blob", f":./{name}")
        if held.returncode:
            changed.append(f"{name} (deleted)")
        elif held.stdout.encode("utf-8", "surrogateescape") != file.read_bytes():
            changed.append(name)
    return changed
