"""Ordinary changes that owners make to a service, none of which may break its tests."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.personas import insert

ROUTER = '''"""Routes."""

from fastapi import APIRouter

router = APIRouter()


@router.get("/{path}"{options})
async def read() -> int:
    """Return a number."""
    return 1
'''


@dataclass(frozen=True)
class Change:
    """A change made by an owner.

    Args:
        name: the id of the test.
        make: applies the change to a rendered project.
        answers_change: whether responses change, so that the owner must adapt feature tests.
        migration: the message of the migration that the change needs.
    """

    name: str
    make: Callable[[Path], None]
    answers_change: bool = False
    migration: str = ""


def write(file: Path, text: str) -> None:
    """Write a file, in a new package if necessary."""
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent / "__init__.py").touch()
    file.write_text(text, encoding="utf-8")


def replace(file: Path, old: str, new: str) -> None:
    """Replace the only occurrence of `old`."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file.name} must contain {old!r} exactly once."
    file.write_text(text.replace(old, new), encoding="utf-8")


def in_main(imports: str = "", before: str = "", options: str = "", code: str = "") -> Change:
    """Return a change to main.py; `change` sets the other fields."""

    def make(project: Path) -> None:
        main = project / "app" / "main.py"
        insert(main, "from fastapi import FastAPI", imports)
        if before:
            insert(main, "def create_app", before)
        if options:
            replace(
                main,
                "        version=core.version(),\n",
                f"        version=core.version(),\n        {options},\n",
            )
        insert(main, "    core.install(app, settings", code)

    return Change("", make)


def change(name: str, made: Change, *, answers_change: bool = False) -> Change:
    """Return `made` with a name."""
    return Change(name, made.make, answers_change)


def required_setting(project: Path) -> None:
    """Add a secret without a default, and a value for tests."""
    settings = project / "app" / "settings.py"
    insert(settings, "from app.core", "from pydantic import SecretStr\n\n")
    insert(settings, "", "\n    payment_key: SecretStr\n")
    insert(project / ".env.example", "", "\n# Pays bills.\nPAYMENT_KEY=\n")
    for_tests(project, "payment_key")


def required_setting_of_a_feature(project: Path) -> None:
    """Add a required setting in a feature's own class."""
    text = (
        '"""Settings."""\n\nfrom app.core import EnvironmentSettings\n\n\n'
        'class Settings(EnvironmentSettings):\n    """How to send mail."""\n\n    mail_host: str\n'
    )
    write(project / "app" / "mail" / "settings.py", text)
    insert(project / ".env.example", "", "\n# Sends mail.\nMAIL_HOST=\n")
    for_tests(project, "mail_host")


def for_tests(project: Path, name: str) -> None:
    """Set a value for tests."""
    conftest = project / "tests" / "conftest.py"
    text = conftest.read_text(encoding="utf-8")
    text = text.replace("    return {", f'    return {{"{name}": "for tests", ').replace(", }", "}")
    conftest.write_text(text, encoding="utf-8")


NAMES = (
    *("items", "people", "lamps", "health", "docs", "db", "app", "tests", "service", "session"),
    *("sqlite", "postgresql", "mysql", "dialect", "engine", "database", "migrations", "migration"),
    *("features", "errors", "logs", "limits", "install", "cli", "core_", "proofs", "fixtures"),
    *("isolation", "command_line", "database_server", "alembic", "fastapi", "sqlalchemy", "typing"),
    *("auth", "mail", "tokens", "sessions", "accounts"),
)
"""Names that the template also uses."""


def features_of_any_name(project: Path) -> None:
    """Add a feature with a route for each name."""
    for name in NAMES:
        path = f"feature-{name}" if name in {"health", "docs"} else name
        text = ROUTER.replace("{path}", path).replace("{options}", "")
        write(project / "app" / name / "router.py", text)


def documented_error(project: Path) -> None:
    """Add a route that documents its own 422 response."""
    text = ROUTER.replace("{path}", "documented").replace(
        "{options}", ', responses={422: {"description": "Mine."}, 404: {"description": "Mine."}}'
    )
    write(project / "app" / "documented" / "router.py", text)


def catch_all_of_a_feature(project: Path) -> None:
    """Handle every path that no other feature handles."""
    text = ROUTER.replace("{path}", "{path:path}").replace("{options}", "")
    write(project / "app" / "zzz" / "router.py", text)


def own_fixtures(project: Path) -> None:
    """Override and extend the shipped fixtures."""
    conftest = project / "tests" / "conftest.py"
    insert(
        conftest,
        "import pytest",
        "import os\nfrom collections.abc import AsyncIterator\n\nimport httpx2\n",
    )
    insert(
        conftest,
        "",
        '''

@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "north")


@pytest.fixture
async def client(client: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    """The kit's client, with a header."""
    assert os.environ["REGION"] == "north"
    client.headers["X-Region"] = "north"
    yield client
''',
    )


LIFESPAN = '''@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Seed the database."""
    async with app.state.session_factory.begin() as session:
        if await session.scalar(select(Song.id)) is None:
            session.add(Song(title="Seed", artist="Nobody"))
    yield


'''

HANDLERS = '''async def own_shape(request: Request, error: Exception) -> JSONResponse:
    """Answer in the service's own shape."""
    return JSONResponse({"oops": type(error).__name__}, getattr(error, "status_code", 418))


'''

LOGIN = '''async def login(request: Request) -> None:
    """Refuse who has no token."""
    if "Authorization" not in request.headers:
        raise HTTPException(401, "Who are you?")


'''


def middleware(name: str, module: str, options: str = "") -> Change:
    """Return a change that adds one of Starlette's middleware classes."""
    return in_main(
        imports=f"from starlette.middleware.{module} import {name}\n",
        code=f"    app.add_middleware({name}{options})\n",
    )


CHANGES = [
    Change("required setting", required_setting),
    Change("required setting of a feature", required_setting_of_a_feature),
    Change("features of any name", features_of_any_name),
    Change("documented error", documented_error),
    Change("catch-all of a feature", catch_all_of_a_feature),
    Change("own fixtures", own_fixtures),
    change(
        "login on the whole application",
        in_main(
            before=LOGIN,
            imports="from fastapi import Depends, HTTPException, Request\n",
            options="dependencies=[Depends(login)]",
        ),
        answers_change=True,
    ),
    change(
        "trusted hosts",
        middleware("TrustedHostMiddleware", "trustedhost", ", allowed_hosts=['a.example']"),
        answers_change=True,
    ),
    change(
        "redirect to https",
        middleware("HTTPSRedirectMiddleware", "httpsredirect"),
        answers_change=True,
    ),
    change("compression", middleware("GZipMiddleware", "gzip", ", minimum_size=1")),
    change(
        "front end at the root",
        in_main(
            imports="from fastapi.staticfiles import StaticFiles\n",
            code='    app.mount("/", StaticFiles(directory="app", html=True))\n',
        ),
    ),
    change(
        "catch-all route",
        in_main(
            code='    @app.get("/{path:path}")\n'
            "    async def catch_all(path: str) -> str:\n        return path\n\n",
        ),
    ),
    change("no documentation", in_main(options="docs_url=None, redoc_url=None, openapi_url=None")),
    change("root path", in_main(code='    app.root_path = "/service"\n')),
    Change(
        "routes under a prefix",
        lambda project: replace(
            project / "app" / "main.py",
            "core.install(app, settings)",
            'core.install(app, settings, prefix="/api")',
        ),
        answers_change=True,
    ),
    change(
        "lifespan that seeds",
        in_main(
            imports="from collections.abc import AsyncIterator\n"
            "from contextlib import asynccontextmanager\n"
            "from sqlalchemy import select\nfrom app.songs.models import Song\n",
            before=LIFESPAN,
            options="lifespan=lifespan",
        ),
        answers_change=True,
    ),
    change(
        "own error shapes",
        in_main(
            imports="from fastapi import HTTPException, Request\n"
            "from fastapi.exceptions import RequestValidationError\n"
            "from fastapi.responses import JSONResponse\n",
            before=HANDLERS,
            code="    for kind in (HTTPException, RequestValidationError, Exception):\n"
            "        app.add_exception_handler(kind, own_shape)\n",
        ),
        answers_change=True,
    ),
]


TAKEN = """from httpx2 import AsyncClient
from fastapi import FastAPI

from tests.core.auth import PASSWORD, MakeUsers
from tests.users.test_router import mail_token


async def test_number_is_unique(app: FastAPI, client: AsyncClient, make_users: MakeUsers) -> None:
    await make_users(phone="1")
    data = {"token": mail_token(app), "password": PASSWORD, "name": "Ada", "phone": "1"}

    response = await client.post("/users", json=data)

    assert response.status_code == 409
    assert response.json()["detail"] == "This number is taken."
"""


def required_column_of_users(project: Path) -> None:
    """Add a unique column that must be given, and adapt what creates a user."""
    users, tests = project / "app" / "users", project / "tests" / "users"
    column = 'mapped_column(String(20), unique=True, info={"conflict": "This number is taken."})'
    insert(users / "models.py", "", f"    phone: Mapped[str] = {column}\n")
    replace(
        users / "schemas.py",
        "    password: NewPassword\n",
        "    password: NewPassword\n    phone: str\n",
    )
    replace(users / "router.py", "User(name=data.name, ", "User(name=data.name, phone=data.phone, ")
    replace(users / "commands.py", "User(name=name, ", 'User(name=name, phone="0", ')
    replace(tests / "test_router.py", '"name": "Ada"}', '"name": "Ada", "phone": "1"}')
    write(tests / "test_phone.py", TAKEN)


def optional_column_of_users(project: Path) -> None:
    """Add a column that is shown."""
    users = project / "app" / "users"
    insert(users / "models.py", "", "    city: Mapped[str | None] = mapped_column(String(50))\n")
    replace(
        users / "schemas.py",
        "    created_at: datetime\n",
        "    created_at: datetime\n    city: str | None\n",
    )


def role(project: Path) -> None:
    """Add a role, and a feature for users who have it."""
    admin = '    ADMIN = "admin"\n'
    replace(project / "app" / "users" / "models.py", admin, f'{admin}    EDITOR = "editor"\n')
    router = project / "app" / "drafts" / "router.py"
    write(router, ROUTER.replace("{path}", "drafts").replace("{options}", ""))
    imports = "\nfrom app.core.auth import require_role\nfrom app.users import Role\n"
    insert(router, "from fastapi import APIRouter", imports)
    replace(router, "APIRouter()", "APIRouter(dependencies=[require_role(Role.EDITOR)])")


def without_the_example(project: Path) -> None:
    """Delete the example, as its README says."""
    shutil.rmtree(project / "app" / "songs")
    shutil.rmtree(project / "tests" / "songs")


CHANGES_OF_USERS = [
    Change("required column", required_column_of_users, migration="add phone"),
    Change("optional column", optional_column_of_users, migration="add nickname"),
    Change("role", role),
    Change("no example", without_the_example, migration="drop songs"),
]
"""Changes to a service with users, after which all shipped tests pass."""
