"""Options, collection, shared fixtures and the terminal summary of the meta suite."""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, sync_playwright

from support import interpreters, results
from support.databases import DatabaseServer, missing_server, serve
from support.environments import Environments
from support.projects import Project
from support.questions import Combination, behavioural_product, first_of, read_questions
from support.releases import History, read_history
from support.rendering import Renders, Template, snapshot
from support.template_code import share


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that select tests and require tools."""
    group = parser.getgroup("meta suite")
    group.addoption(
        "--database",
        action="append",
        choices=read_questions()["database"].answers,
        help="test only combinations with this database; can be repeated",
    )
    group.addoption(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="run only the I-th of N equal parts of the suite",
    )
    group.addoption(
        "--require-all",
        action="store_true",
        help="fail instead of skipping tests if something is missing",
    )
    group.addoption(
        "--require-pythons",
        action="store_true",
        help="fail at the start if a Python version that the template offers is missing",
    )


def _shard(value: str) -> tuple[int, int]:
    part, _, parts = value.partition("/")
    if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    msg = f"{value!r} is not a shard such as 1/4."
    raise argparse.ArgumentTypeError(msg)


RENDERS = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder for renders, and register the marker."""
    if not config.option.basetemp:
        # Not in pytest's default folder: every pytest run, including those in rendered projects,
        # restricts that folder to its own user, but PostgreSQL needs access to it if we are root.
        config.option.basetemp = Path(tempfile.gettempdir(), f"prewired-{uuid4().hex[:8]}")
        config.stash[RENDERS] = config.option.basetemp
    config.addinivalue_line(
        "markers", "needs_server: the test needs the database server of its combination"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop early if a required Python version is missing."""
    if session.config.getoption("require_pythons") and (missing := interpreters.missing()):
        pytest.exit(f"Not found: Python {', '.join(missing)}.", returncode=1)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Delete the renders unless a test failed; then they help to find out why."""
    if exitstatus == pytest.ExitCode.OK and (renders := session.config.stash.get(RENDERS, None)):
        shutil.rmtree(renders, ignore_errors=True)


def pytest_report_header() -> list[str]:
    """Report how much of the template's Python tools can read."""
    return [f"template: {share():.1f}% of its Python lines are valid Python without rendering"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Apply --database, then --shard; both work on what -k and -m select."""
    databases = config.getoption("database")
    part, parts = config.getoption("shard") or (1, 1)
    kept = [item for item in items if not databases or _database(item) in (None, *databases)]
    # Adjacent tests cost about the same, so taking every n-th balances the shards.
    kept = kept[part - 1 :: parts]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _database(item: pytest.Item) -> str | None:
    """Return the database of the test's combination, or None."""
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec else ()
    return next((value.database for value in values if hasattr(value, "database")), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests whose database server is missing; fail them under --require-all."""
    database = _database(item)
    if database is None or not item.get_closest_marker("needs_server"):
        return
    if reason := missing_server(database):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skipped tests into failures under --require-all."""
    return _nothing_skipped(item.config, (yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn skipped files into failures under --require-all."""
    return _nothing_skipped(collector.config, (yield))


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _nothing_skipped(config: pytest.Config, report: Report) -> Report:
    if report.skipped and config.getoption("require_all"):
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)  # otherwise pytest would not count it as failed
        report.longrepr = f"Skipped, but --require-all: {report.longrepr}"
    return report


@pytest.fixture
def say(request: pytest.FixtureRequest) -> results.Say:
    """A function that adds a line to the terminal summary."""
    return lambda line: request.node.user_properties.append((results.RAN, line))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder shared by all processes of this run."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def template(shared_folder: Path) -> Template:
    """The working tree's template."""
    return snapshot(shared_folder / "template")


@pytest.fixture(scope="session")
def render(template: Template, shared_folder: Path) -> Renders:
    """Render any answers once, and share the result; tests must not modify it."""
    return Renders(template, shared_folder / "renders")


@pytest.fixture(scope="session")
def rendered(render: Renders) -> Callable[[Combination], Path]:
    """Render a combination; tests must not modify the result."""
    return lambda combination: render(combination.answers)


@pytest.fixture(scope="session")
def history(shared_folder: Path) -> History:
    """All releases of the template, with the working tree as the newest."""
    return read_history(shared_folder / "history")


@pytest.fixture(scope="session")
def settings(pytestconfig: pytest.Config, worker_id: str) -> dict[str, str]:
    """Environment variables for every project."""
    # A shared cache: mypy checks each library once per process instead of once per combination.
    return {"MYPY_CACHE_DIR": str(pytestconfig.cache.mkdir(f"mypy-{worker_id}"))}


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """The virtual environments shared by this process's projects."""
    return Environments(tmp_path_factory.mktemp("environments"))


@pytest.fixture(scope="session")
def make_project(
    render: Renders, settings: dict[str, str], environments: Environments
) -> Callable[..., Project]:
    """Render a combination; the first `uv run` creates its environment."""

    def make(path: Path, combination: Combination, **more: str) -> Project:
        version = str(combination.answers.get("python_version", interpreters.WANTED[0]))
        shutil.copytree(render(combination.answers), path)
        return Project(path, interpreters.at_least(version), settings | more, environments)

    return make


@pytest.fixture(scope="session")
def kept_projects(
    make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Combination], Project]:
    """Projects shared by many tests, which must not modify them."""

    @cache
    def make(name: str) -> Project:
        project = make_project(tmp_path_factory.mktemp(name) / "service", combinations[name])
        project.sync()
        return project

    combinations = {str(combination): combination for combination in behavioural_product()}
    return lambda combination: make(str(combination))


@pytest.fixture(scope="session")
def servers(
    kept_projects: Callable[[Combination], Project],
) -> Iterator[Callable[[Combination], DatabaseServer]]:
    """Database servers that run until the end of the session, one per database."""
    started: dict[str, DatabaseServer] = {}
    with ExitStack() as stack:

        def start(combination: Combination) -> DatabaseServer:
            name = combination.database
            if name not in started:
                started[name] = stack.enter_context(serve(kept_projects(first_of(name))))
            return started[name]

        yield start


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip(
            "No page is opened: chromium is not on PATH; "
            "on Debian and Ubuntu, run `apt install chromium`."
        )
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lines added by tests, and what was not run."""
    reports = [
        report
        for category in terminalreporter.stats.values()
        for report in category
        if isinstance(report, pytest.TestReport)
    ]
    if lines := results.said(reports):
        terminalreporter.section("combinations")
        for line in lines:
            terminalreporter.line(line)
    if missing := interpreters.missing():
        terminalreporter.line(f"Not run: Python {', '.join(missing)} (not found).")
    if (renders := terminalreporter.config.stash.get(RENDERS, None)) and renders.exists():
        terminalreporter.line(f"The renders are in {renders}.")
