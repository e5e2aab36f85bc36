"""The mutation check: break the wiring of a rendered service, and its own tests must notice.

A suite that is green only shows that nothing was found. Each mutation below takes away one thing
that the service promises; the generated tests that it names must then fail.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from support.databases import DatabaseServer
from support.projects import Project
from support.questions import Answer, Combination, behavioural_product
from support.results import Record

NOTICED = re.compile(r"^(FAILED|ERROR) (\S+)", re.MULTILINE)

EVERY_DATABASE = ("sqlite", "postgresql", "mysql")
SQLITE = ("sqlite",)
"""Enough for a mutation of code that is the same on every database."""


@dataclass(frozen=True)
class Mutation:
    """One change to one file of a rendered project."""

    name: str
    file: str
    old: str
    """Text that the file has exactly once."""
    new: str
    fails: tuple[str, ...]
    """What to run: test files, or single tests as `file::test`; each must have a failure."""
    databases: tuple[str, ...] = EVERY_DATABASE
    answers: Mapping[str, Answer] = field(default_factory=lambda: {"example": True})
    """What must have been answered for the file to have the text."""
    by_error: bool = False
    """Whether it is a fixture that notices, which pytest calls an error and not a failure."""


TRANSACTIONS = "tests/wiring/test_transactions.py"
SESSION = "tests/wiring/test_session.py"
CONCURRENCY = "tests/wiring/test_concurrency.py"
ISOLATION = "tests/wiring/test_isolation.py"
MIGRATIONS = "tests/test_migrations.py"
SONGS = "migrations/versions/2026_11_21_8c3d2f5b9a41_create_songs.py"

MUTATIONS = [
    # The unit of work
    Mutation(
        "the response is sent before the commit",
        "app/database.py",
        'scope="function"',
        'scope="request"',
        (
            f"{TRANSACTIONS}::test_the_commit_comes_before_the_response",
            f"{TRANSACTIONS}::test_a_commit_that_fails_is_a_conflict",
        ),
    ),
    Mutation(
        "nothing is committed",
        "app/database.py",
        "        await session.commit()\n",
        "",
        (
            f"{TRANSACTIONS}::test_the_commit_comes_before_the_response",
            f"{SESSION}::test_the_test_sees_what_a_handler_added",
            "tests/songs/test_router.py::test_create",
        ),
    ),
    Mutation(
        "whatever is raised, the work is committed",
        "app/database.py",
        "        yield session\n        await session.commit()\n",
        "        try:\n            yield session\n"
        "        finally:\n            await session.commit()\n",
        (
            f"{TRANSACTIONS}::test_a_raised_response_leaves_nothing_behind",
            f"{TRANSACTIONS}::test_an_unexpected_error_leaves_nothing_behind",
            f"{TRANSACTIONS}::test_a_response_that_fails_validation_leaves_nothing_behind",
            f"{TRANSACTIONS}::test_a_cancelled_request_leaves_nothing_behind",
        ),
    ),
    Mutation(
        "a commit expires objects",
        "app/database.py",
        "expire_on_commit=False",
        "expire_on_commit=True",
        (f"{SESSION}::test_an_object_shows_what_a_handler_changed",),
    ),
    Mutation(
        "constraints have no names",
        "app/database.py",
        "naming_convention={",
        "info={",
        ("tests/test_database.py::test_every_constraint_has_a_name",),
    ),
    # The engines
    Mutation(
        "foreign keys are not enforced",
        "app/engine.py",
        'execute("PRAGMA foreign_keys = ON")\n        cursor.execute("PRAGMA journal_mode',
        'execute("PRAGMA journal_mode',
        ("tests/wiring/test_deferred.py",),
        databases=SQLITE,
    ),
    Mutation(
        "transactions take the write lock late",
        "app/sqlite.py",
        '    begin = "BEGIN IMMEDIATE"',
        '    begin = "BEGIN DEFERRED"',
        (f"{CONCURRENCY}::test_three_units_go_to_three_buyers",),
        databases=SQLITE,
    ),
    Mutation(
        "readers take the write lock",
        "app/engine.py",
        'dialect.begin = "BEGIN DEFERRED"',
        'dialect.begin = "BEGIN IMMEDIATE"',
        (f"{CONCURRENCY}::test_readers_do_not_wait_for_a_writer",),
        databases=SQLITE,
    ),
    Mutation(
        "the journal is not written ahead",
        "app/engine.py",
        "PRAGMA journal_mode = WAL",
        "PRAGMA journal_mode = DELETE",
        ("tests/test_engine.py::test_a_reader_does_not_hold_up_a_writer",),
        databases=SQLITE,
    ),
    Mutation(
        "rows that nobody reads keep their table locked",
        "app/sqlite.py",
        "        if self._rows_are_left:\n",
        "        if False:\n",
        ("tests/test_sqlite.py",),
        databases=SQLITE,
    ),
    Mutation(
        "tables are not copied to alter them",
        "app/engine.py",
        '"render_as_batch": True',
        '"render_as_batch": False',
        (f"{MIGRATIONS}::test_a_change_of_a_model_becomes_a_formatted_migration",),
        databases=SQLITE,
    ),
    Mutation(
        "foreign keys stay on while tables are copied",
        "app/engine.py",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA foreign_keys = ON",
        (f"{MIGRATIONS}::test_a_change_of_a_model_becomes_a_formatted_migration",),
        databases=SQLITE,
    ),
    Mutation(
        "an outage is an unexpected error",
        "app/errors.py",
        "    if is_unavailable(error):\n",
        "    if False:\n",
        ("tests/test_outage.py",),
        databases=("postgresql", "mysql"),
    ),
    Mutation(
        "logs show parameters",
        "app/engine.py",
        "pool_timeout=settings.database_pool_timeout,\n        hide_parameters=True,",
        "pool_timeout=settings.database_pool_timeout,",
        ("tests/test_errors.py::test_a_database_error_shows_its_statement_in_the_log_alone",),
        databases=("postgresql",),
    ),
    Mutation(
        "logs show parameters",
        "app/engine.py",
        "        hide_parameters=True,\n",
        "",
        ("tests/test_errors.py::test_a_database_error_shows_its_statement_in_the_log_alone",),
        databases=("sqlite", "mysql"),
    ),
    Mutation(
        "a locked file is an unexpected error",
        "app/engine.py",
        "        sqlite3.SQLITE_BUSY,\n",
        "",
        (
            "tests/test_engine.py::test_a_request_that_waits_too_long_for_a_writer_is_to_be_tried_again",
        ),
        databases=SQLITE,
    ),
    Mutation(
        "connections come back with a transaction",
        "app/engine.py",
        "connection.driver_connection.in_transaction",
        "False",
        ("tests/wiring/test_deferred.py",),
        databases=("sqlite",),
    ),
    Mutation(
        "connections come back with a transaction",
        "app/engine.py",
        "connection.driver_connection.get_transaction_status()",
        "False",
        ("tests/test_engine.py::test_a_connection_comes_back_without_a_transaction",),
        databases=("mysql",),
    ),
    Mutation(
        "processes migrate at once",
        "app/engine.py",
        'connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")',
        "pass",
        ("tests/test_engine.py::test_one_process_migrates_at_a_time",),
        databases=("postgresql",),
    ),
    Mutation(
        "processes migrate at once",
        "app/engine.py",
        "if not connection.scalar(select(func.get_lock(MIGRATION_LOCK, MIGRATION_LOCK_TIMEOUT))):",
        "if False:",
        ("tests/test_engine.py::test_one_process_migrates_at_a_time",),
        databases=("mysql",),
    ),
    Mutation(
        "a value that does not fit is cut",
        "app/engine.py",
        "CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
        "''",
        ("tests/test_engine.py::test_a_value_that_does_not_fit_is_refused",),
        databases=("mysql",),
    ),
    Mutation(
        "text is not all of Unicode",
        "app/engine.py",
        '.setdefault("charset", "utf8mb4")',
        '.setdefault("charset", "latin1")',
        ("tests/test_engine.py::test_text_has_all_of_unicode",),
        databases=("mysql",),
    ),
    # Errors, limits, probes, logs, features: the same on every database
    Mutation(
        "a conflict is an unexpected error",
        "app/errors.py",
        "    if conflict:\n",
        "    if False:\n",
        (
            f"{TRANSACTIONS}::test_a_commit_that_fails_is_a_conflict",
            "tests/songs/test_router.py::test_the_same_song_twice_is_a_conflict",
        ),
        databases=SQLITE,
    ),
    Mutation(
        "logs quote values",
        "app/errors.py",
        'logger.debug("database error in full"',
        'logger.error("database error in full"',
        ("tests/test_engine.py::test_a_value_of_the_wrong_type_is_not_logged",),
        databases=("postgresql",),
    ),
    Mutation(
        "an exhausted pool is an unexpected error",
        "app/errors.py",
        "    app.exception_handler(exc.TimeoutError)(_pool_exhausted)\n",
        "",
        ("tests/test_errors.py::test_without_a_free_connection_a_request_is_to_be_tried_again",),
        databases=SQLITE,
    ),
    Mutation(
        "nobody hears when to try again",
        "app/errors.py",
        'RETRY_AFTER = {"Retry-After": "5"}',
        "RETRY_AFTER: dict[str, str] = {}",
        (
            "tests/test_errors.py::test_without_a_free_connection_a_request_is_to_be_tried_again",
            "tests/test_health.py::test_ready_follows_the_database",
        ),
        databases=SQLITE,
    ),
    Mutation(
        "errors are not problem details",
        "app/errors.py",
        'MEDIA_TYPE = "application/problem+json"',
        'MEDIA_TYPE = "application/json"',
        ("tests/test_errors.py",),
        databases=SQLITE,
    ),
    Mutation(
        "an invalid request is quoted",
        "app/errors.py",
        '("loc", "msg", "type")',
        '("loc", "msg", "type", "input")',
        ("tests/test_errors.py::test_an_invalid_request_says_what_is_wrong_but_not_what_was_sent",),
        databases=SQLITE,
    ),
    Mutation(
        "only announced bodies are limited",
        "app/limits.py",
        'received += len(message.get("body", b""))',
        "received += 0",
        ("tests/test_errors.py::test_a_body_that_does_not_announce_its_length_is_limited_too",),
        databases=SQLITE,
    ),
    Mutation(
        "the loser of a deadlock is not to try again",
        "app/engine.py",
        '"40001", "40P01", ',
        "",
        ("tests/test_deadlock.py",),
        databases=("postgresql",),
    ),
    Mutation(
        "the loser of a deadlock is not to try again",
        "app/engine.py",
        "1205, 1213, ",
        "",
        ("tests/test_deadlock.py",),
        databases=("mysql",),
    ),
    Mutation(
        "a row that is gone is an unexpected error",
        "app/errors.py",
        "    app.exception_handler(StaleDataError)(_overtaken)\n",
        "",
        (f"{TRANSACTIONS}::test_a_row_that_was_removed_meanwhile_is_a_conflict",),
        databases=SQLITE,
    ),
    Mutation(
        "a statement of its own is rolled back",
        "app/sqlite.py",
        "if self.detect_autocommit_setting(dbapi_connection):",
        "if False:",
        ("tests/test_engine.py::test_statements_can_be_their_own_transactions",),
        databases=SQLITE,
    ),
    Mutation(
        "a server that says nothing is waited for",
        "app/engine.py",
        "asyncio.timeout(CONNECT_TIMEOUT)",
        "asyncio.timeout(60)",
        ("tests/test_outage.py::test_a_server_that_says_nothing_is_out_of_reach",),
        databases=("mysql",),
    ),
    Mutation(
        "a session outlives its request",
        "app/database.py",
        "    session.sync_session.close()\n",
        "",
        (f"{TRANSACTIONS}::test_a_session_is_closed_when_its_request_has_committed",),
        databases=SQLITE,
    ),
    Mutation(
        "a router comes without the models of other features",
        "app/features.py",
        'in the order of the folders\' names."""\n    import_models()\n',
        'in the order of the folders\' names."""\n',
        ("tests/test_features.py::test_the_models_of_all_features_are_there",),
        databases=SQLITE,
    ),
    Mutation(
        "a version that is being replaced is not ready",
        "app/schema.py",
        "return not self.current <= self.known",
        "return False",
        ("tests/test_health.py::test_a_newer_schema_is_that_of_the_next_version",),
        databases=SQLITE,
    ),
    Mutation(
        "a stale schema is ready",
        "app/health.py",
        "    if state.pending:\n",
        "    if False:\n",
        ("tests/test_health.py::test_a_stale_schema_is_reported",),
        databases=SQLITE,
    ),
    Mutation(
        "a client's request id is ignored",
        "app/logs.py",
        'dict(scope["headers"]).get(self.header, b"")',
        'b""',
        ("tests/test_logs.py::test_a_request_is_logged_with_its_id",),
        databases=SQLITE,
    ),
    Mutation(
        "any request id is taken over",
        "app/logs.py",
        "if not REQUEST_ID.fullmatch(request_id):",
        "if not request_id:",
        ("tests/test_logs.py::test_a_request_without_a_usable_id_gets_one",),
        databases=SQLITE,
    ),
    Mutation(
        "lines do not have the request id",
        "app/logs.py",
        "        structlog.contextvars.bind_contextvars(request_id=request_id)\n",
        "",
        ("tests/test_logs.py::test_a_request_is_logged_with_its_id",),
        databases=SQLITE,
    ),
    Mutation(
        "the server logs requests too",
        "app/logs.py",
        'name != "uvicorn.access"',
        "True",
        ("tests/test_logs.py::test_the_server_does_not_log_requests_a_second_time",),
        databases=SQLITE,
    ),
    Mutation(
        "features have no routes",
        "app/features.py",
        'return [module.router for _, module in _modules("router")]',
        "return []",
        ("tests/test_features.py::test_a_folder_is_a_feature", "tests/songs/test_router.py"),
        databases=SQLITE,
    ),
    Mutation(
        "features have no models",
        "app/features.py",
        'for _ in _modules("models"):',
        "for _ in ():",
        ("tests/test_features.py::test_the_models_of_all_features_are_there",),
        databases=SQLITE,
    ),
    Mutation(
        "a database out of reach is a traceback",
        "app/cli.py",
        "except DBAPIError as error:",
        "except ZeroDivisionError as error:",
        ("tests/test_cli.py::test_a_database_out_of_reach_is_one_sentence",),
        databases=SQLITE,
    ),
    Mutation(
        "pages of songs overlap",
        "app/songs/service.py",
        "        .order_by(order, Song.id)",
        "        .order_by(order)",
        ("tests/songs/test_router.py::test_songs_that_are_equal_come_in_a_definite_order",),
        databases=SQLITE,
    ),
    # Migrations
    Mutation(
        "a column is not as its model says",
        SONGS,
        'sa.Column("released_on", sa.Date(), nullable=True)',
        'sa.Column("released_on", sa.Date(), nullable=False)',
        (f"{MIGRATIONS}::test_they_build_what_the_models_say",),
    ),
    Mutation(
        "a column is too short",
        SONGS,
        'sa.Column("title", sa.String(length=200)',
        'sa.Column("title", sa.String(length=100)',
        (f"{MIGRATIONS}::test_they_build_what_the_models_say",),
    ),
    Mutation(
        "a constraint is missing",
        SONGS,
        '        sa.UniqueConstraint("artist", "title", name=op.f("uq_songs_artist_title")),\n',
        "",
        (
            f"{MIGRATIONS}::test_they_build_what_the_models_say",
            "tests/songs/test_router.py::test_the_same_song_twice_is_a_conflict",
        ),
    ),
    Mutation(
        "a downgrade forgets a table",
        SONGS,
        '    op.drop_table("songs")\n',
        "",
        (f"{MIGRATIONS}::test_they_go_down_and_up_again",),
    ),
    Mutation(
        "a default that changes is not noticed",
        "app/engine.py",
        '    "compare_server_default": _compare_server_default,\n',
        "",
        ("tests/test_server_defaults.py",),
        databases=("sqlite", "postgresql"),
    ),
    Mutation(
        "a default that stays seems to have changed",
        "app/engine.py",
        '    "compare_server_default": _compare_server_default,\n',
        '    "compare_server_default": True,\n',
        ("tests/test_server_defaults.py",),
        databases=("sqlite", "postgresql"),
    ),
    Mutation(
        "new migrations drop what is still needed",
        "migrations/env.py",
        "        process_revision_directives=order_steps,\n",
        "",
        (f"{MIGRATIONS}::test_a_change_of_a_model_becomes_a_formatted_migration",),
        databases=("mysql",),
    ),
    Mutation(
        "migrations do not see enum types",
        "app/engine.py",
        "import alembic_postgresql_enum as alembic_postgresql_enum",
        "",
        ("tests/test_enums.py",),
        databases=("postgresql",),
    ),
    Mutation(
        "new migrations are not formatted",
        "pyproject.toml",
        'options = "format --quiet REVISION_SCRIPT_FILENAME"',
        'options = "version"',
        (f"{MIGRATIONS}::test_a_change_of_a_model_becomes_a_formatted_migration",),
    ),
    # The tests' own plumbing
    Mutation(
        "related objects cannot be read any more",
        "tests/isolation.py",
        "            if related:\n",
        "            if False:\n",
        (f"{SESSION}::test_related_objects_that_were_read_can_still_be_read",),
        databases=SQLITE,
    ),
    Mutation(
        "what has gone with its owner is let go of again",
        "tests/isolation.py",
        "elif instance in session:",
        "else:",
        (f"{SESSION}::test_an_object_that_a_handler_deleted_is_gone",),
        databases=SQLITE,
    ),
    Mutation(
        "sessions join the test's transaction",
        "tests/conftest.py",
        '            join_transaction_mode="create_savepoint",\n',
        "",
        (f"{TRANSACTIONS}::test_an_insert_that_fails_can_be_tried_again",),
    ),
    Mutation(
        "a test's transaction is committed",
        "tests/conftest.py",
        "await transaction.rollback()",
        "await transaction.commit()",
        (f"{ISOLATION}::test_every_test_starts_clean",),
    ),
    Mutation(
        "the application closes an engine that is not its own",
        "app/main.py",
        "            stack.push_async_callback(engine.dispose)\n            await",
        "        stack.push_async_callback(engine.dispose)\n        await",
        ("tests/test_main.py::test_an_engine_that_was_given_stays_open",),
    ),
    Mutation(
        "the scratch database is not cleared",
        "tests/conftest.py",
        "    await clear(spare_database)\n",
        "",
        (f"{ISOLATION}::test_every_test_has_an_empty_scratch_database",),
    ),
    Mutation(
        "what was committed stays",
        "tests/conftest.py",
        "        await contents.restore(engine)\n",
        "",
        (f"{ISOLATION}::test_every_test_starts_clean",),
    ),
    Mutation(
        "the tests use the service's own database",
        "tests/conftest.py",
        "yield settings\n",
        'yield settings.model_copy(update={"database_url": os.environ["DATABASE_URL"]})\n',
        (ISOLATION,),
        by_error=True,
    ),
    Mutation(
        "a test's objects are stale",
        "tests/isolation.py",
        "await reload(self._session)",
        "pass",
        (f"{SESSION}::test_an_object_shows_what_a_handler_changed",),
    ),
    Mutation(
        "handlers do not see what a test arranged",
        "tests/isolation.py",
        "            async with self._lock:\n                await self._session.commit()\n",
        "",
        (f"{SESSION}::test_the_tests_rollback_undoes_only_its_own_work",),
    ),
    Mutation(
        "what a test does to the application stays",
        "tests/conftest.py",
        "    with unchanged(shared_app):\n",
        "    if shared_app:\n",
        (f"{ISOLATION}::test_every_test_has_the_application_as_it_was_made",),
        databases=SQLITE,
    ),
    Mutation(
        "overlapping requests are not noticed",
        "tests/isolation.py",
        "            raise OverlapError\n",
        "            pass\n",
        (f"{ISOLATION}::test_requests_at_once_name_the_marker",),
    ),
    # The example: the same on every database
    Mutation(
        "an update clears what it does not name",
        "app/songs/service.py",
        "exclude_unset=True",
        "exclude_unset=False",
        ("tests/songs/test_router.py::test_update",),
        databases=SQLITE,
    ),
    Mutation(
        "a page has no maximum",
        "app/songs/schemas.py",
        "ge=1, le=100)",
        "ge=1)",
        ("tests/songs/test_router.py::test_a_list_that_is_not_valid",),
        databases=SQLITE,
    ),
    Mutation(
        "the order cannot be turned round",
        "app/songs/service.py",
        'column.desc() if query.order_by.startswith("-") else column.asc()',
        "column.asc()",
        ("tests/songs/test_router.py::test_the_list_can_be_ordered",),
        databases=SQLITE,
    ),
]


@dataclass(frozen=True)
class Case:
    """A mutation of one combination."""

    mutation: Mutation
    combination: Combination

    @property
    def database(self) -> str:
        """The database that decides whether the case can be run here."""
        return self.combination.database

    def __str__(self) -> str:
        """Return the test's id."""
        return f"{self.combination}: {self.mutation.name}"


CASES = [
    Case(mutation, combination)
    for combination, mutation in product(behavioural_product(), MUTATIONS)
    if combination.database in mutation.databases
    and mutation.answers.items() <= combination.answers.items()
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_mutation_is_up_to_date(case: Case, rendered: Callable[[Combination], Path]) -> None:
    """What it changes is there once, and so are the tests that it names; cheaper than to run it."""
    project = rendered(case.combination)
    read_once(project, case.mutation)
    for file, _, test in (name.partition("::") for name in case.mutation.fails):
        assert f"def {test}" in (project / file).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def proven_projects(
    kept_projects: Callable[[Combination], Project],
    servers: Callable[[Combination], DatabaseServer],
) -> Callable[[Combination], Project]:
    """Projects whose tests pass as rendered, on a server that is already running."""

    @cache
    def prove(name: str) -> Project:
        combination = combinations[name]
        project = kept_projects(combination).with_settings(
            TEST_DATABASE_URL=servers(combination).url
        )
        project.tests()
        return project

    combinations = {str(case.combination): case.combination for case in CASES}
    return lambda combination: prove(str(combination))


@pytest.mark.needs_server
@pytest.mark.parametrize("case", CASES, ids=str)
def test_mutation_is_caught(
    case: Case, proven_projects: Callable[[Combination], Project], record: Record
) -> None:
    """Where the generated tests passed, the ones that the mutation names now fail."""
    record.row(f"{case.combination}, mutations")
    project, fails = proven_projects(case.combination), case.mutation.fails
    stop_early = ["-x"] if len(fails) == 1 else []
    with mutated(project.path, case.mutation):
        finished = project.uv_run("pytest", "-q", *stop_early, *fails, check=False, timeout=120)
    # 1 is "tests failed"; with any other code, something else is wrong.
    assert finished.exit_code == 1, f"Not noticed: {finished.report()}"
    accepted = ("FAILED", "ERROR") if case.mutation.by_error else ("FAILED",)
    noticed = [test for word, test in NOTICED.findall(finished.stdout) if word in accepted]
    for test in fails:
        assert any(name.startswith(test) for name in noticed), f"Not noticed: {finished.report()}"
    record.tests(1)


@contextmanager
def mutated(project: Path, mutation: Mutation) -> Iterator[None]:
    """Change the file, and put it back afterwards."""
    path, original = project / mutation.file, read_once(project, mutation)
    path.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def read_once(project: Path, mutation: Mutation) -> str:
    """Return the file's text, which must have once what the mutation replaces."""
    text = (project / mutation.file).read_text(encoding="utf-8")
    found = text.count(mutation.old)
    assert found == 1, f"Out of date: {mutation.file} has {found} times what is to be replaced."
    return text
