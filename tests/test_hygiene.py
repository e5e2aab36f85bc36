"""Rules for all files of the template and of renders."""

import re
import stat
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pytest
import yaml

from support.options import read_options, spelled
from support.questions import Combination, every_choice, first_of, read_questions
from support.rendering import Renders, Template, files_in
from support.root import ROOT
from support.template_code import sources
from support.wording import mentions

COMBINATIONS = pytest.mark.parametrize("combination", every_choice(), ids=Combination.full_name)

Rendered = Callable[[Combination], Path]

EMPTY_BY_CONVENTION = ("__init__.py",)

JINJA_LEFT_OVER = re.compile(r"(?<!\$)\{\{|\{%|\{#")

NOT_ON_WINDOWS = re.compile(
    r'[<>:"|?*\\\x00-\x1f]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)', re.IGNORECASE
)

NEEDS_TRUST = {"_tasks", "_migrations", "_jinja_extensions"}


def empty(project: Path) -> list[str]:
    """Return empty folders and, except for conventional ones, empty files."""
    return [
        path.relative_to(project).as_posix()
        for path in sorted(project.rglob("*"))
        if (path.is_dir() and not any(path.iterdir()))
        or (
            path.is_file()
            and not path.read_text(encoding="utf-8").strip()
            and path.name not in EMPTY_BY_CONVENTION
        )
    ]


def untidy(file: Path) -> list[str]:
    """Return the faults of a file."""
    text = file.read_bytes().decode()
    faults = {
        "no newline at the end": text and not text.endswith("\n"),
        "blank lines at the end": text.endswith("\n\n"),
        "blank lines at the beginning": text.startswith("\n"),
        "spaces at the end of a line": re.search(r"[ \t]$", text, re.MULTILINE),
        "carriage returns": "\r" in text,
        "tabs": "\t" in text,
        "executable": file.stat().st_mode & stat.S_IXUSR,
        "left-over Jinja": JINJA_LEFT_OVER.search(text),
    }
    return [fault for fault, present in faults.items() if present]


@COMBINATIONS
def test_no_empty_files_or_folders(combination: Combination, rendered: Rendered) -> None:
    """A condition that renders to nothing leaves no files behind."""
    assert empty(rendered(combination)) == []


@COMBINATIONS
def test_text_is_tidy(combination: Combination, rendered: Rendered) -> None:
    """Files end with one newline; lines have no trailing spaces and no unrendered Jinja."""
    found = {str(path): untidy(path) for path in files_in(rendered(combination))}
    assert {path: faults for path, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", []),
        ("a\n", []),
        ("on: ${{ github.ref }}\n", []),
        ("a", ["no newline at the end"]),
        ("a\n\n", ["blank lines at the end"]),
        ("\na\n", ["blank lines at the beginning"]),
        ("a \nb\n", ["spaces at the end of a line"]),
        ("a\r\n", ["carriage returns"]),
        ("a\tb\n", ["tabs"]),
        ("{{ a }}\n", ["left-over Jinja"]),
        ("{%- if a %}\n", ["left-over Jinja"]),
        ("{# a #}\n", ["left-over Jinja"]),
    ],
)
def test_untidy_text_is_found(text: str, faults: list[str], tmp_path: Path) -> None:
    """Each fault is named."""
    (tmp_path / "file").write_bytes(text.encode())
    assert untidy(tmp_path / "file") == faults


def test_executable_file_is_found(tmp_path: Path) -> None:
    """Rendered files must not be executable."""
    (tmp_path / "file").write_text("a\n", encoding="utf-8")
    (tmp_path / "file").chmod(0o755)
    assert untidy(tmp_path / "file") == ["executable"]


def test_empty_files_and_folders_are_found(tmp_path: Path) -> None:
    """Files that are empty by convention are accepted."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "blank.md").write_text("\n", encoding="utf-8")
    (tmp_path / "__init__.py").touch()
    assert empty(tmp_path) == ["blank.md", "folder/inner"]


@COMBINATIONS
def test_other_choices_are_not_mentioned(combination: Combination, rendered: Rendered) -> None:
    """A service does not mention features it does not have."""
    assert not mentions(rendered(combination), combination.answers)


def test_words_match_every_choice(render: Renders) -> None:
    """Every choice is covered by the test above, and every expression matches some render."""
    for name, question in read_questions().items():
        for answer in question.answers:
            said = {choice for _, choice in mentions(render({name: answer}), {name: ""})}
            expected = read_options()[name].words[spelled(answer)] is not None
            assert (f"{name}={spelled(answer)}" in said) is expected


@COMBINATIONS
def test_rendered_names_are_legal_everywhere(combination: Combination, rendered: Rendered) -> None:
    """Services can be checked out on Windows and macOS."""
    project = rendered(combination)
    assert not _illegal(path.relative_to(project).as_posix() for path in project.rglob("*"))


def test_template_names_are_legal_everywhere(template: Template) -> None:
    """The template can be checked out there, too, with conditions in folder names."""
    names = (path.relative_to(template.path).as_posix() for path in files_in(template.path))
    assert not _illegal(names)


@pytest.mark.parametrize(
    "name", ["a:b.py", "con.txt", "a/NUL", "end.", "x/" * 100 + "y", "a?b", "dir /file", "same"]
)
def test_illegal_names_are_found(name: str) -> None:
    """Illegal characters, reserved names, long paths, and names that differ only in case."""
    assert name in _illegal(["fine.py", name, "SAME"])
    assert _illegal(["app/console.py", ".env.example", "auxiliary.py"]) == []


def _illegal(names: Iterable[str]) -> list[str]:
    """Return names that Windows rejects or that differ from another only in case."""
    listed = list(names)
    same = Counter(name.casefold() for name in listed)
    return [
        name
        for name in listed
        if len(name) > 200
        or same[name.casefold()] > 1
        or any(NOT_ON_WINDOWS.search(part) for part in PurePosixPath(name).parts)
    ]


@COMBINATIONS
def test_no_two_sources_render_to_one_path(combination: Combination, template: Template) -> None:
    """Copier would silently use the last one."""
    found = sources(combination, template.path / "template")
    assert not {target: paths for target, paths in found.items() if len(paths) > 1}


def test_two_sources_of_one_path_are_found(tmp_path: Path) -> None:
    """Duplicates are found across overlays and suffixes."""
    overlay = tmp_path / "{% if database == 'sqlite' %}.{% endif %}"
    for folder, name in ((tmp_path, "a.py"), (overlay, "a.py.jinja"), (overlay, "b.py")):
        folder.mkdir(exist_ok=True)
        (folder / name).touch()

    found = sources(first_of("sqlite"), tmp_path)

    assert {target: len(paths) for target, paths in found.items()} == {"a.py": 2, "b.py": 1}


def test_template_does_not_require_trust() -> None:
    """`copier copy` and `copier update` work without `--trust`."""
    settings = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    assert not settings.keys() & NEEDS_TRUST
    assert settings["_envops"]["undefined"] == "jinja2.StrictUndefined"
    # The minimum version is the version that this suite runs.
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (copier,) = (
        each for each in required["project"]["dependencies"] if each.startswith("copier>=")
    )
    assert settings["_min_copier_version"] == copier.removeprefix("copier>=")
