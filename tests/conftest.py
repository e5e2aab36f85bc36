"""The meta suite: options, what is collected, the shared fixtures, and the table at the end."""

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

from support import interpreters, results
from support.databases import DatabaseServer, missing_server, serve
from support.environments import Environments
from support.projects import Project
from support.questions import Combination, behavioural_product, first_of, read_questions
from support.releases import History, read_history
from support.rendering import Renders, Template, snapshot
from support.template_code import share


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose what is run."""
    group = parser.getgroup("meta suite")
    group.addoption(
        "--database",
        action="append",
        choices=read_questions()["database"].answers,
        help="test only combinations with this database; may be given several times",
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
        help="fail, rather than skip, where something is missing",
    )
    group.addoption(
        "--require-pythons",
        action="store_true",
        help="fail at the start if a Python that the template offers is missing",
    )


def _shard(value: str) -> tuple[int, int]:
    part, _, parts = value.partition("/")
    if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    msg = f"{value!r} is not a part of a whole, such as 1/4."
    raise argparse.ArgumentTypeError(msg)


RENDERS = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose where to render, and register the marker."""
    if not config.option.basetemp:
        # Not below pytest's usual folder: each run of pytest, those in the rendered projects
        # included, takes away others' access to it, which PostgreSQL needs if we are root.
        config.option.basetemp = Path(tempfile.gettempdir(), f"prewired-{uuid4().hex[:8]}")
        config.stash[RENDERS] = config.option.basetemp
    config.addinivalue_line(
        "markers", "needs_server: the test runs a rendered service on its database server"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse to begin what cannot be complete."""
    if session.config.getoption("require_pythons") and (missing := interpreters.missing()):
        pytest.exit(f"Not found: Python {', '.join(missing)}.", returncode=1)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep what was rendered only for whoever has to find out why a test failed."""
    if exitstatus == pytest.ExitCode.OK and (renders := session.config.stash.get(RENDERS, None)):
        shutil.rmtree(renders, ignore_errors=True)


def pytest_report_header() -> list[str]:
    """Say how much of the template tools can read."""
    return [f"template: {share():.1f}% of its lines of Python are Python before they are rendered"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what --database and --shard select; the latter of what -k and -m left."""
    databases = config.getoption("database")
    part, parts = config.getoption("shard") or (1, 1)
    kept = [item for item in items if not databases or _database(item) in (None, *databases)]
    # Every n-th: neighbours cost about the same, so the parts do too.
    kept = kept[part - 1 :: parts]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _database(item: pytest.Item) -> str | None:
    """Return the database of the combination that a test is about, if it is about one."""
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec else ()
    return next((value.database for value in values if hasattr(value, "database")), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or under --require-all fail, what this machine has no database server for."""
    database = _database(item)
    if database is None or not item.get_closest_marker("needs_server"):
        return
    if reason := missing_server(database):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test that is skipped fail under --require-all."""
    return _nothing_skipped(item.config, (yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let a file that is skipped fail under --require-all."""
    return _nothing_skipped(collector.config, (yield))


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _nothing_skipped(config: pytest.Config, report: Report) -> Report:
    if report.skipped and config.getoption("require_all"):
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)  # pytest does not count it as failed with this
        report.longrepr = f"Skipped, but --require-all: {report.longrepr}"
    return report


@pytest.fixture
def say(request: pytest.FixtureRequest) -> results.Say:
    """Adds a line to the end of the run."""
    return lambda line: request.node.user_properties.append((results.RAN, line))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what all processes of this run use."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def template(shared_folder: Path) -> Template:
    """The working tree's template, ready to be rendered."""
    return snapshot(shared_folder / "template")


@pytest.fixture(scope="session")
def render(template: Template, shared_folder: Path) -> Renders:
    """Renders any answers, the same only once; the results are looked at, and never changed."""
    return Renders(template, shared_folder / "renders")


@pytest.fixture(scope="session")
def rendered(render: Renders) -> Callable[[Combination], Path]:
    """Renders a combination to look at."""
    return lambda combination: render(combination.answers)


@pytest.fixture(scope="session")
def history(shared_folder: Path) -> History:
    """Each release of the template, and the working tree as the newest."""
    return read_history(shared_folder / "history")


@pytest.fixture(scope="session")
def settings(pytestconfig: pytest.Config, worker_id: str) -> dict[str, str]:
    """The environment variables of every project."""
    # mypy reads each library once for each process, and not once for each combination.
    return {"MYPY_CACHE_DIR": str(pytestconfig.cache.mkdir(f"mypy-{worker_id}"))}


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """The virtual environments that this process's projects share."""
    return Environments(tmp_path_factory.mktemp("environments"))


@pytest.fixture(scope="session")
def make_project(
    render: Renders, settings: dict[str, str], environments: Environments
) -> Callable[..., Project]:
    """Render a combination; its environment comes with the first `uv run`."""

    def make(path: Path, combination: Combination, **more: str) -> Project:
        version = str(combination.answers.get("python_version", interpreters.WANTED[0]))
        shutil.copytree(render(combination.answers), path)
        return Project(path, interpreters.at_least(version), settings | more, environments)

    return make


@pytest.fixture(scope="session")
def kept_projects(
    make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Combination], Project]:
    """Projects that many tests use, and leave as they were."""

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
    """Database servers that run until the end, one for each database that is asked for."""
    started: dict[str, DatabaseServer] = {}
    with ExitStack() as stack:

        def start(combination: Combination) -> DatabaseServer:
            name = combination.database
            if name not in started:
                started[name] = stack.enter_context(serve(kept_projects(first_of(name))))
            return started[name]

        yield start


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with what the tests have to say, and with what was not run."""
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
        terminalreporter.line(f"What was rendered is kept in {renders}.")
