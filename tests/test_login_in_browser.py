"""Logging in to a rendered service with Swagger UI, in Chromium."""

import re
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route

from support.projects import Project
from support.questions import behavioural_product
from support.services import Service, running

COMBINATION = next(
    each
    for each in behavioural_product()
    if each.behaviour == {"database": "sqlite", "example": True, "auth": "jwt"}
)

PASSWORD = "nine green bottles"  # noqa: S105
ADMIN, USER = "root@example.com", "ada@example.com"


def swagger_ui(name: str) -> Path:
    """Return a file of Swagger UI."""
    spec = find_spec("flask_swagger_ui")
    assert spec
    assert spec.origin
    return Path(spec.origin).with_name("dist") / name


class Documentation:
    """The page `/docs` of a service, as people use it."""

    def __init__(self, page: Page) -> None:
        """Use a page that is open."""
        self._page = page
        self._form = page.locator(".modal-ux")

    def log_in(self, name: str) -> None:
        """Log in, which must succeed."""
        self._page.get_by_role("button", name="Authorize").first.click()
        self._form.locator("#oauth_username").fill(name)
        self._form.locator("#oauth_password").fill(PASSWORD)
        self._press("Authorize")
        self._form.get_by_text("Logout", exact=True).wait_for()
        self._press("Close")

    def log_out(self) -> None:
        """Forget the access token."""
        self._page.get_by_role("button", name="Authorize").first.click()
        self._press("Logout")
        self._press("Close")

    def execute(self, method: str, path: str, **parameters: str) -> tuple[str, str]:
        """Send a request, and return the status and the body that are shown."""
        operation = self._operation(method, path)
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        for name, value in parameters.items():
            operation.locator(f"[data-param-name={name}] input").fill(value)
        operation.get_by_role("button", name="Execute").click()
        shown = operation.locator(".live-responses-table .response")
        status = shown.locator(".response-col_status").inner_text()
        body = shown.locator(".response-col_description pre").first.inner_text()
        for button in ("Clear", "Cancel"):
            operation.get_by_role("button", name=button).click()
        operation.locator(".opblock-summary-control").click()
        return status, body

    def _press(self, button: str) -> None:
        self._form.get_by_text(button, exact=True).click()

    def _operation(self, method: str, path: str) -> Locator:
        summary = self._page.locator(f'.opblock-summary-path[data-path="{path}"]')
        return self._page.locator(f".opblock-{method.lower()}").filter(has=summary)


Open = Callable[[Service, str], Documentation]


@pytest.fixture
def open_docs(browser: Browser) -> Iterator[Open]:
    """Open `/docs` of a service, through a proxy that removes a root path."""
    context = browser.new_context()
    context.set_default_timeout(10_000)
    faults: list[str] = []

    def start(service: Service, root_path: str) -> Documentation:
        origin = f"http://127.0.0.1:{service.port}"

        def answer(route: Route) -> None:
            url = route.request.url
            path = urlsplit(url).path
            if url.startswith(f"{origin}{root_path}/"):
                stripped = origin + url.removeprefix(origin + root_path)
                route.fulfill(response=route.fetch(url=stripped))
            elif path.startswith("/npm/swagger-ui-dist@5/"):
                route.fulfill(path=swagger_ui(Path(path).name))
            elif path == "/img/favicon.png":
                route.fulfill(path=swagger_ui("favicon-32x32.png"))
            else:
                faults.append(url)
                route.abort()

        def note_violation(message: ConsoleMessage) -> None:
            if "Content Security Policy" in message.text:
                faults.append(message.text)

        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", note_violation)
        page.route(re.compile("^https?:"), answer)
        page.goto(f"{origin}{root_path}/docs")
        return Documentation(page)

    yield start
    context.close()
    assert faults == []


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Settings of the service."""
    return {
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'app.db'}",
        "MAIL_FOLDER": str(tmp_path / "mails"),
        "TOKEN_SECRET": "s" * 48,
    }


def register(service: Service, prefix: str, mails: Path) -> None:
    """Register a user with the link in a mail."""
    assert service.request("POST", f"{prefix}/auth/register", {"email": USER}).status == 202
    service.wait_for_log("mail sent")
    (file,) = mails.iterdir()
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    part = mail.get_body(("plain",))
    assert part
    token = re.search(r"#token=(\S+)", part.get_content())
    assert token
    data = {"token": token[1], "password": PASSWORD, "name": "Ada"}
    assert service.request("POST", f"{prefix}/users", data).status == 201


@pytest.mark.parametrize(("root_path", "prefix"), [("", ""), ("/api", "/v1")])
def test_login_with_swagger_ui(
    root_path: str,
    prefix: str,
    make_project: Callable[..., Project],
    env: dict[str, str],
    tmp_path: Path,
    open_docs: Open,
) -> None:
    """Users see what their role allows until they log out, wherever the service is served."""
    project = make_project(tmp_path / "service", COMBINATION)
    main = project.path / "app" / "main.py"
    text = main.read_text(encoding="utf-8")
    installed = text.replace("(app, settings)", f'(app, settings, prefix="{prefix}")')
    assert installed != text
    main.write_text(installed, encoding="utf-8")
    project.sync()
    project.uv_run(project.slug, "db", "upgrade", env=env)
    project.uv_run(project.slug, "users", "create-admin", ADMIN, env=env, stdin=f"{PASSWORD}\n")
    with running(project, env, "--root-path", root_path) as service:
        register(service, prefix, Path(env["MAIL_FOLDER"]))
        docs = open_docs(service, root_path)

        docs.log_in(USER)
        status, body = docs.execute("GET", f"{prefix}/users/me")
        assert (status, USER in body) == ("200", True)
        status, body = docs.execute("DELETE", f"{prefix}/songs/{{song_id}}", song_id="1")
        assert (status, "Your role does not allow this." in body) == ("403", True)
        docs.log_out()
        status, body = docs.execute("GET", f"{prefix}/users/me")
        assert (status, "This needs an access token." in body) == ("401", True)

        docs.log_in(ADMIN)
        status, body = docs.execute("GET", f"{prefix}/users")
        assert (status, ADMIN in body, USER in body) == ("200", True, True)
        service.terminate()
