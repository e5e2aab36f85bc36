"""Mail reaches real servers, and a faulty server is logged once and fails no request."""

import asyncio
import json
import socket
import ssl
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import trustme
from fastapi import BackgroundTasks, FastAPI
from httpx2 import AsyncClient
from pydantic import SecretStr

from app.core import SessionDep
from app.core.mail import Mail, Mailer, MailerDep
from app.core.mail.settings import Settings
from tests.proofs.auth.mail.conftest import ADDRESS, TOKEN
from tests.proofs.auth.mail.mail_server import Inbox, Silent, serving, smtp
from tests.proofs.shop import Item

MAIL = Mail(
    ADDRESS,
    "Überraschung für dich: 🎁",
    f"Grüße\n.\nhttps://example.com/#token={TOKEN}\n" + "x" * 2000 + "\n",
    f"<p>Grüße {TOKEN}</p>\n",
)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side of TLS; the application trusts its authority."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def mailer_for() -> Any:
    def mailer_for(port: int, **values: Any) -> Mailer:
        common = {
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "smtp_tls": "none",
            "smtp_timeout": 5,
            "mail_from": "Läden & Co <shop@example.org>",
        }
        return Mailer(Settings.model_validate(common | values))

    return mailer_for


def lines(log: StringIO) -> list[dict[str, Any]]:
    """Return the mailer's lines of the log."""
    entries = [json.loads(line) for line in log.getvalue().splitlines()]
    return [entry for entry in entries if entry["event"].startswith("mail")]


@pytest.fixture
def reason(log: StringIO) -> Any:
    """Function that returns the reason in the only line of the log."""

    def reason() -> str:
        (line,) = lines(log)
        assert line["event"] == "mail not sent"
        assert line["level"] == "error"
        assert line["recipient"] == "a***@example.com"
        return str(line["reason"])

    return reason


def check(message: EmailMessage) -> None:
    """Check that a message is the mail above, with the headers of all mail."""
    assert message["To"] == ADDRESS
    assert message["From"].addresses[0].display_name == "Läden & Co"
    assert message["From"].addresses[0].addr_spec == "shop@example.org"
    assert message["Subject"] == MAIL.subject
    assert message["Message-ID"].endswith("@example.org>")
    assert abs(message["Date"].datetime.timestamp() - time.time()) < 60
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = message.iter_parts()
    assert isinstance(text, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert [text.get_content_type(), html.get_content_type()] == ["text/plain", "text/html"]
    assert text.get_content().replace("\r\n", "\n") == MAIL.text
    assert html.get_content().replace("\r\n", "\n") == MAIL.html


@pytest.mark.parametrize("decode_data", [False, True], ids=["8-bit", "7-bit"])
async def test_mail_arrives(
    inbox: Inbox, mailer_for: Any, log: StringIO, decode_data: bool
) -> None:
    with serving(smtp(inbox, decode_data=decode_data)) as port:
        await mailer_for(port).send(MAIL)

    check(inbox.messages[0])
    assert inbox.envelopes[0].mail_from == "shop@example.org"
    assert inbox.envelopes[0].rcpt_tos == [ADDRESS]
    (line,) = lines(log)
    assert line["event"] == "mail sent"
    assert line["recipient"] == "a***@example.com"
    assert line["message_id"] == inbox.messages[0]["Message-ID"]
    assert line["to"] == "127.0.0.1"


async def test_starttls_and_login(
    inbox: Inbox, mailer_for: Any, tls: ssl.SSLContext, log: StringIO
) -> None:
    protocol = smtp(
        inbox,
        tls_context=tls,
        require_starttls=True,
        auth_required=True,
        authenticator=inbox.authenticate,
    )
    login = {"smtp_username": "shop", "smtp_password": SecretStr("right")}
    with serving(protocol) as port:
        await mailer_for(port, smtp_tls="starttls", **login).send(MAIL)

    check(inbox.messages[0])
    assert inbox.encrypted == [True]
    assert inbox.logins[0].login == b"shop"
    assert lines(log)[0]["event"] == "mail sent"


async def test_tls(inbox: Inbox, mailer_for: Any, tls: ssl.SSLContext, log: StringIO) -> None:
    with serving(smtp(inbox), tls) as port:
        await mailer_for(port, smtp_tls="tls").send(MAIL)

    check(inbox.messages[0])
    assert lines(log)[0]["event"] == "mail sent"


async def test_wrong_password(
    inbox: Inbox, mailer_for: Any, tls: ssl.SSLContext, reason: Any
) -> None:
    protocol = smtp(inbox, tls_context=tls, auth_required=True, authenticator=inbox.authenticate)
    login = {"smtp_username": "shop", "smtp_password": SecretStr("wrong")}
    with serving(protocol) as port:
        await mailer_for(port, smtp_tls="starttls", **login).send(MAIL)

    assert inbox.messages == []
    assert reason() == "SMTPAuthenticationError: 535 5.7.8"


@pytest.mark.parametrize("how", ["starttls", "tls"])
async def test_unknown_authority_gets_no_mail(
    inbox: Inbox,
    mailer_for: Any,
    tls: ssl.SSLContext,
    how: str,
    reason: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with serving(smtp(inbox, tls_context=tls), tls if how == "tls" else None) as port:
        await mailer_for(port, smtp_tls=how).send(MAIL)

    assert inbox.messages == []
    assert "CERTIFICATE_VERIFY_FAILED" in reason()


async def test_server_of_another_name_gets_no_mail(
    inbox: Inbox, mailer_for: Any, authority: trustme.CA, tls: ssl.SSLContext, reason: Any
) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example.com").configure_cert(other)
    with serving(smtp(inbox, tls_context=other)) as port:
        await mailer_for(port, smtp_tls="starttls").send(MAIL)

    assert inbox.messages == []
    assert "CERTIFICATE_VERIFY_FAILED" in reason()


async def test_server_without_encryption_gets_no_mail(
    inbox: Inbox, mailer_for: Any, reason: Any
) -> None:
    with serving(smtp(inbox)) as port:
        await mailer_for(port, smtp_tls="starttls").send(MAIL)

    assert inbox.messages == []
    assert "STARTTLS" in reason()


async def test_rejection_is_logged_without_the_words_of_the_server(
    inbox: Inbox, mailer_for: Any, reason: Any
) -> None:
    inbox.refusal = f"550 5.1.1 <{ADDRESS}> is unknown"
    with serving(smtp(inbox)) as port:
        await mailer_for(port).send(MAIL)

    assert reason() == "SMTPRecipientRefused: 550 5.1.1"


async def test_server_is_away(mailer_for: Any, reason: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    await mailer_for(port).send(MAIL)

    assert reason().startswith("SMTPConnectError: ")


async def test_server_hangs(mailer_for: Any, reason: Any) -> None:
    with serving(Silent) as port:
        started = time.monotonic()
        await mailer_for(port, smtp_timeout=0.3).send(MAIL)

    assert time.monotonic() - started < 2
    assert "Timeout" in reason()


async def test_limit_is_for_all_steps_together(inbox: Inbox, mailer_for: Any, reason: Any) -> None:
    inbox.delay = 0.7
    with serving(smtp(inbox)) as port:
        await mailer_for(port, smtp_timeout=1).send(MAIL)

    assert reason() == "TimeoutError"


async def test_cancellation_is_logged(mailer_for: Any, reason: Any) -> None:
    with serving(Silent) as port:
        sending = asyncio.create_task(mailer_for(port).send(MAIL))
        await asyncio.sleep(0.1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    assert reason() == "the service stopped"


async def test_folder_receives_mail(tmp_path: Path, log: StringIO) -> None:
    folder = tmp_path / "new" / "mails"
    settings = Settings(mail_folder=folder, mail_from="Läden & Co <shop@example.org>")

    await Mailer(settings).send(MAIL)
    await Mailer(settings).send(MAIL)

    files = list(folder.glob("*.eml"))
    assert len(files) == 2
    check_file(files[0])
    assert [line["event"] for line in lines(log)] == ["mail sent", "mail sent"]
    assert {Path(line["to"]) for line in lines(log)} == set(files)


def check_file(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    check(message)


async def test_links_in_files_are_not_broken(tmp_path: Path) -> None:
    link = f"https://example.com/#token={'t' * 200}"

    await Mailer(Settings(mail_folder=tmp_path)).send(Mail(ADDRESS, "Hi", f"Open\n{link}\n"))

    (file,) = tmp_path.glob("*.eml")
    assert link in file.read_text().splitlines()


async def test_folder_that_cannot_be_written_is_logged(tmp_path: Path, reason: Any) -> None:
    (tmp_path / "file").write_text("mine")

    await Mailer(Settings(mail_folder=tmp_path / "file")).send(MAIL)

    assert reason().startswith("FileExistsError")


@pytest.fixture
def mailing_app(shop_app: FastAPI) -> FastAPI:
    """The shop, with a route that adds an item and sends a mail."""

    @shop_app.post("/mailed", status_code=201)
    async def add(
        name: str, session: SessionDep, mailer: MailerDep, background_tasks: BackgroundTasks
    ) -> None:
        session.add(Item(name=name))
        background_tasks.add_task(mailer.send, MAIL)

    return shop_app


async def test_mail_is_sent_after_the_commit(
    client: AsyncClient, mailing_app: FastAPI, mails: list[Mail]
) -> None:
    response = await client.post("/mailed?name=lamp")

    assert response.status_code == 201
    assert mails == [MAIL]


@pytest.mark.committed
async def test_failed_commit_sends_nothing(
    client: AsyncClient, mailing_app: FastAPI, mails: list[Mail]
) -> None:
    await client.post("/mailed?name=lamp")
    mails.clear()

    response = await client.post("/mailed?name=lamp")

    assert response.status_code == 409
    assert mails == []


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a mail server that is away, before the application starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for name, value in {"HOST": "127.0.0.1", "PORT": str(port), "TLS": "none"}.items():
        monkeypatch.setenv(f"SMTP_{name}", value)
    monkeypatch.setenv("MAIL_FROM", "shop@example.org")


@pytest.mark.usefixtures("no_server")
async def test_request_succeeds_while_the_server_is_away(
    mailing_app: FastAPI, client: AsyncClient, log: StringIO
) -> None:
    response = await client.post("/mailed?name=lamp")

    assert response.status_code == 201
    (line,) = lines(log)
    assert line["event"] == "mail not sent"
    assert line["request_id"] == response.headers["X-Request-ID"]


def test_mail_does_not_show_its_content() -> None:
    assert repr(MAIL) == "Mail(to='a***@example.com')"
