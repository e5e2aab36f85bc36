"""Promises of the suite itself: what counts as passed, and what programs can see."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support import interpreters, programs
from support.lines import lines_in
from support.options import spelled
from support.programs import Finished
from support.projects import Project, outcomes
from support.questions import first_of, first_of_each_database
from support.rendering import Renders, Template, texts_in
from support.root import ROOT

CLOSING_LINES = {
    "12 passed in 3.40s": {"passed": 12},
    "==== 12 passed, 1 skipped in 3.40s ====": {"passed": 12, "skipped": 1},
    "==== 1 failed, 2 errors in 75.10s (0:01:15) ====": {"failed": 1, "errors": 2},
    "no tests ran in 0.01s\n3 deselected in 0.01s": {"deselected": 3},
}


def finished(stdout: str, exit_code: int = 0) -> Finished:
    """Return the result of a pytest run."""
    return Finished(("pytest",), Path(), exit_code, stdout, "")


@pytest.mark.parametrize("line", CLOSING_LINES)
def test_summary_line_is_parsed(line: str) -> None:
    """The summary is parsed with and without -q, and for runs over a minute."""
    assert outcomes(finished(f"...\n{line}\n")) == CLOSING_LINES[line]


def test_lines_of_code_are_counted() -> None:
    """Blank lines and comments do not count, and docstrings do if asked."""
    text = '"""About.\n\nMore.\n"""\n\n# why\nx = {\n    1: "a",  # one\n}\n"""What x is."""\n'

    assert lines_in(text) == 3
    assert lines_in(text, docstrings=True) == 7


def test_missing_summary_is_a_failure() -> None:
    """A run that ended early proves nothing."""
    with pytest.raises(AssertionError, match="printed no summary"):
        outcomes(finished("12 passed, so far"))


@pytest.mark.parametrize("also", ["skipped", "xfailed", "deselected", "warnings"])
def test_only_passed_tests_count(also: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped and xfailed tests prove nothing."""
    closed = finished(f"5 passed, 1 {also} in 1.00s")
    monkeypatch.setattr(Project, "uv_run", lambda *_: closed)
    with pytest.raises(AssertionError, match="Some generated tests"):
        Project(Path(), Path()).tests()


def test_programs_run_in_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables set by the developer or by pytest would affect the tests."""
    for name in ("DATABASE_URL", "VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT", "CI", "LOG_LEVEL"):
        monkeypatch.setenv(name, "surprise")
    monkeypatch.setenv("PATH", str(Path(sys.prefix, "bin")), prepend=os.pathsep)
    seen = programs.environment()
    assert "surprise" not in seen.values()
    assert not [name for name in seen if name.startswith("PYTEST")]
    assert str(Path(sys.prefix, "bin")) not in seen["PATH"].split(os.pathsep)


def test_failure_shows_command_code_and_output(tmp_path: Path) -> None:
    """The error message contains everything needed for diagnosis."""
    with pytest.raises(AssertionError, match=r"sh -c .* exit code 3\nthe reason"):
        programs.run("sh", "-c", "echo the reason; exit 3", cwd=tmp_path)


def test_timeout_stops_program_and_children(tmp_path: Path) -> None:
    """Its child processes are stopped, too."""
    with pytest.raises(AssertionError, match="Timed out after 0 s"):
        programs.run("sh", "-c", "sleep 60; echo", cwd=tmp_path, timeout=0.2)


def test_unknown_answers_are_refused(template: Template, tmp_path: Path) -> None:
    """Copier would ignore a misspelled question and render the default."""
    with pytest.raises(ValueError, match="has no question: databse"):
        template.render(tmp_path / "service", {"databse": "mysql"})


def test_snapshot_does_not_change_the_repository(template: Template) -> None:
    """The snapshot is a copy with a tag and without uncommitted changes."""
    assert template.path != ROOT
    assert programs.run("git", "status", "--porcelain", cwd=template.path).output == ""
    assert programs.run("git", "tag", cwd=template.path).output.split() == [template.tag]


def test_quick_renders_are_the_same(render: Renders, template: Template, tmp_path: Path) -> None:
    """Faster rendering and shared results produce identical bytes."""
    for combination in first_of_each_database():
        slow = tmp_path / str(combination)
        data = [f"--data={name}={spelled(value)}" for name, value in combination.answers.items()]
        programs.run(
            *(sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", *data),
            *(f"--vcs-ref={template.tag}", str(template.path), str(slow)),
            cwd=tmp_path,
            env=programs.environment(COPIER_SETTINGS_PATH=str(tmp_path / "none.yml")),
        )
        assert texts_in(slow) == texts_in(render(combination.answers))


def test_environments_are_shared_for_equal_dependencies(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """Different dependencies, Pythons or resolutions need different environments."""
    sqlite, postgresql, _ = (
        make_project(tmp_path / each.database, each) for each in first_of_each_database()
    )
    other_answers = replace(first_of("sqlite"), files={"license": "MIT"})
    licensed = make_project(tmp_path / "licensed", other_answers)
    lowest = sqlite.with_settings(UV_RESOLUTION="lowest-direct")
    other = replace(sqlite, python=Path("other"))

    assert licensed.environment_path == sqlite.environment_path
    assert len({each.environment_path for each in (sqlite, postgresql, lowest, other)}) == 4


@pytest.mark.parametrize(
    ("body", "exit_code"),
    [
        ("@pytest.mark.skip(reason='x')\ndef test_it(): ...", 1),
        ("def test_it(): pytest.skip('x')", 1),
        ("@pytest.fixture\ndef f(): pytest.skip('x')\ndef test_it(f): ...", 1),
        ("pytest.importorskip('nowhere', reason='x')\ndef test_it(): ...", 2),
        ("@pytest.mark.xfail\ndef test_it(): assert False", 1),
        ("@pytest.mark.parametrize('x', [])\ndef test_it(x): ...", 2),
        ("def test_it(): ...", 0),
    ],
)
def test_require_all_fails_skipped_tests(body: str, exit_code: int, tmp_path: Path) -> None:
    """Skips, xfails and empty parameter sets count as failures."""
    file = tmp_path / "test_it.py"
    file.write_text(f"import pytest\n\n{body}\n", encoding="utf-8")
    finished = programs.run(
        *(sys.executable, "-m", "pytest", f"-c{ROOT / 'pyproject.toml'}", "-n0", "-pconftest"),
        *("--require-all", str(file)),
        cwd=ROOT,
        env=programs.environment(PYTHONPATH=str(ROOT / "tests"), UV=programs.uv()),
        check=False,
    )
    assert finished.exit_code == exit_code, finished.report()


def test_missing_pythons_are_reported() -> None:
    """With --require-pythons, the run stops if an offered version is missing."""
    finished = programs.run(
        *(sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "--require-pythons"),
        "tests/test_forked.py",
        cwd=ROOT,
        env=programs.environment(UV=programs.uv()),
        check=False,
    )
    missing = interpreters.missing()
    assert finished.exit_code == (1 if missing else 0), finished.report()
    assert not missing or f"Not found: Python {', '.join(missing)}." in finished.output


def test_shards_partition_the_suite() -> None:
    """Each test is in exactly one shard, and the shards are about equal in size."""
    first, second = collected("--shard=1/2"), collected("--shard=2/2")
    assert sorted(first + second) == sorted(collected())
    assert 0 <= len(first) - len(second) <= 1


def test_database_option_deselects_others() -> None:
    """Tests without a database are kept."""
    kept = collected("--database=mysql")
    # File names are not combinations.
    assert not [test for test in kept if re.search(r"\[(sqlite|postgresql)-[^.]+\]", test)]
    assert [test for test in kept if "[mysql-" in test]
    assert [test for test in kept if "test_support" in test]


def collected(*options: str) -> list[str]:
    """Return the tests that pytest would run."""
    listing = programs.run(
        *(sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", *options),
        cwd=ROOT,
        env=programs.environment(UV=programs.uv()),
    )
    return [line for line in listing.stdout.splitlines() if "::" in line]
