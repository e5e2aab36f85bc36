"""Everything in a render is used."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.dead_weight import (
    READ_BY_NAME,
    USED_BY_LIBRARIES,
    USED_BY_LIBRARIES_IN_TESTS,
    dependency_faults,
    idle_settings,
    looked_for,
    needed_excuses,
    requirements,
    unreachable_files,
    unused_fixtures,
    unused_names,
)
from support.options import BASE, read_options
from support.projects import MANUAL
from support.questions import (
    Combination,
    behavioural_product,
    every_choice,
    first_of,
    read_questions,
)
from support.rendering import Renders, texts_in

Rendered = Callable[[Combination], Path]

COMBINATIONS = pytest.mark.parametrize("combination", behavioural_product(), ids=str)


@COMBINATIONS
def test_every_dependency_is_used(combination: Combination, rendered: Rendered) -> None:
    """No dependency is missing, unused, transitive, or in the wrong group."""
    options = {
        dependency
        for name in combination.behaviour
        for dependency in read_options()[name].dependencies
    }
    base = set(read_options()[BASE].dependencies)
    assert dependency_faults(rendered(combination), base, options) == []


@pytest.mark.parametrize("name", [name for name, q in read_questions().items() if q.answers])
def test_option_dependencies_have_reasons(name: str, render: Renders) -> None:
    """Each dependency comes with one answer, and has a reason in the option's description."""
    answers = read_questions()[name].answers
    counts = Counter(each for answer in answers for each in requirements(render({name: answer})))
    reasons = read_options()[name].dependencies.keys()
    differ = {each for each, count in counts.items() if count < len(answers)}
    assert [
        *(f"options/{name}.toml gives no reason for {each}." for each in sorted(differ - reasons)),
        *(f"No answer to {name} adds {each}." for each in sorted(reasons - differ)),
        # A reason for several answers would excuse an unused driver.
        *(f"{each} is added by several answers." for each in sorted(differ) if counts[each] > 1),
    ] == []


@COMBINATIONS
def test_every_fixture_is_used_or_explained(combination: Combination, rendered: Rendered) -> None:
    """Fixtures for the owner's tests are explained in the README."""
    assert not unused_fixtures(rendered(combination))


@pytest.mark.parametrize("combination", every_choice(), ids=Combination.full_name)
def test_every_file_is_reachable(combination: Combination, rendered: Rendered) -> None:
    """Files are imported, looked for by a tool, or mentioned in another file."""
    assert not unreachable_files(rendered(combination))


@COMBINATIONS
def test_every_name_is_used(combination: Combination, rendered: Rendered) -> None:
    """This covers functions, classes, settings and constants; tests do not count for app/."""
    assert not unused_names(rendered(combination))


@COMBINATIONS
def test_every_setting_is_read(combination: Combination, rendered: Rendered) -> None:
    """A shipped test compares the settings with .env.example."""
    assert not idle_settings(rendered(combination))


def test_read_by_name_patterns_match_files(rendered: Rendered) -> None:
    """Each pattern in READ_BY_NAME matches a file."""
    names = {name for each in every_choice() for name in texts_in(rendered(each))}
    assert {pattern for name in names for pattern in looked_for(name)} == READ_BY_NAME.keys()


def test_name_excuses_are_needed(rendered: Rendered) -> None:
    """A needless excuse would hide the next mistake."""
    needed = {excuse for each in behavioural_product() for excuse in needed_excuses(rendered(each))}
    assert needed == {*USED_BY_LIBRARIES, *USED_BY_LIBRARIES_IN_TESTS}


# The tests below prove that each search finds something.


@pytest.fixture
def broken(rendered: Rendered, tmp_path: Path) -> Path:
    """A copy of a project to add dead weight to."""
    return shutil.copytree(rendered(first_of("sqlite")), tmp_path / "service")


def change(project: Path, file: str, old: str, new: str) -> None:
    """Replace text that occurs exactly once in a file."""
    path = project / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(project: Path, file: str, text: str) -> None:
    """Append to a file, which is created if necessary."""
    path = project / file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as lines:
        lines.write(text)


def test_needless_and_missing_dependencies_are_found(broken: Path) -> None:
    """Dependencies without imports, with imports only in tests, or only transitive."""
    change(
        broken,
        "pyproject.toml",
        '    "aiosqlite>=',
        # The last one is imported only by tests.
        '    "asyncpg>=1",\n    "rich[jupyter]>=1",\n    "httpx2>=2",\n    "aiosqlite>=',
    )
    change(broken, "pyproject.toml", '    "httpx2>=2.16",\n', '    "coverage>=7",\n')
    append(broken, "app/core/health.py", "import nothing, nowhere, polyfactory, mypy\n")
    append(broken, "tests/helpers.py", "import faker, mypy\n")

    found = dependency_faults(broken, set(read_options()[BASE].dependencies), {"aiosqlite"})

    assert found == [
        "DEP001 faker",
        "DEP001 nothing",
        "DEP001 nowhere",
        "DEP004 mypy",
        "DEP004 polyfactory",
        f"asyncpg: {NO_REASON}",
        f"coverage: {NO_REASON}",
        f"httpx2: {NO_REASON}",
        "mypy: options/ gives a needless reason",
        f"rich[jupyter]: {NO_REASON}",
    ]


NO_REASON = "not imported, and options/ gives no reason"


def test_idle_settings_are_found(broken: Path) -> None:
    """Settings read only within their own class count as unused."""
    change(
        broken,
        "app/core/settings.py",
        '    log_format: Literal["auto",',
        "    page_size: int = 50\n"
        "    def double(self) -> int: return 2 * self.page_size\n"
        '    log_format: Literal["auto",',
    )
    change(broken, "app/core/limits.py", "settings.max_body_size", "1_000_000")
    assert idle_settings(broken) == ["max_body_size", "page_size"]


def test_unused_fixtures_are_found(broken: Path) -> None:
    """Use by an unused fixture, or by tests outside its scope, does not count."""
    append(
        broken,
        "tests/conftest.py",
        """
@pytest.fixture
def clock(tmp_path: Path) -> int: ...
@pytest.fixture(scope="session")
async def alarm(clock: int) -> int: ...
@pytest.fixture(name="bell")
def _bell() -> int: ...
@pytest.fixture
def feature() -> int: ...
@pytest.fixture(autouse=True)
def _always(always_too: int) -> int: ...
@pytest.fixture
def always_too() -> int: ...
""",
    )
    append(
        broken,
        "tests/songs/test_router.py",
        "@pytest.fixture\ndef settings(settings: Settings) -> Settings: ...\n"
        "@pytest.fixture\ndef engine(engine: int) -> int: ...\n",
    )
    change(broken, MANUAL, "`session_factory` creates", "`session_factory` or `bell` creates")
    assert unused_fixtures(broken) == [
        "tests/conftest.py: clock",
        "tests/conftest.py: alarm",
        "tests/conftest.py: feature",
    ]


def test_unreachable_files_are_found(broken: Path) -> None:
    """Circular imports do not count, nor do mentions in the manual's table of owners."""
    append(broken, "app/adrift.py", "from app.adrift_too import x\n")
    append(broken, "app/adrift_too.py", "from app.adrift import x\n")
    append(broken, "app/songs/prices.py", "")
    append(broken, "app/tools/__init__.py", "")
    append(broken, "app/tools/clean.py", "")
    append(broken, "tests/helping.py", "")
    append(broken, "tests/tools/test_clean.py", "from tests.tools import helping\n")
    append(broken, "tests/tools/helping.py", "")
    append(broken, "migrations/naming.py", "")
    append(broken, "Makefile", "")
    append(broken, "prices.csv", "")
    append(broken, "run.sh", "exec fastapi run")
    change(broken, MANUAL, "`.copier-answers.yml` |", "`Makefile`, `.copier-answers.yml` |")
    append(broken, "README.md", "\nIn a container, `run.sh` starts it.\n")
    change(broken, "app/core/features.py", '_modules("commands")', '_modules("orders")')
    assert unreachable_files(broken) == [
        "Makefile",
        "app/adrift.py",
        "app/adrift_too.py",
        "app/songs/bulk.py",
        "app/songs/commands.py",
        "app/songs/prices.py",
        "app/tools/__init__.py",
        "app/tools/clean.py",
        "migrations/naming.py",
        "prices.csv",
        "tests/helping.py",
    ]


def test_unused_names_are_found(broken: Path) -> None:
    """Unused names include names used only in tests, excuses only for tests, and methods."""
    append(
        broken,
        "app/core/limits.py",
        """
LARGEST = 5
TESTED = 6
mode = 7
class Limiter:
    def __init__(self) -> None: ...
    def confine(self) -> None: ...
def limiter() -> Limiter:
    return Limiter()
@property
def decorated() -> None: ...
@router.get("/limits")
def route() -> None: ...
""",
    )
    append(broken, "tests/helpers.py", "def commence() -> None: TESTED\ndef test_it(): ...\n")
    assert unused_names(broken) == [
        "app/core/limits.py: unused variable 'LARGEST'",
        "app/core/limits.py: unused variable 'TESTED'",
        "app/core/limits.py: unused variable 'mode'",
        "app/core/limits.py: unused method 'confine'",
        "app/core/limits.py: unused function 'limiter'",
        "app/core/limits.py: unused property 'decorated'",
        "tests/helpers.py: unused function 'commence'",
    ]
