"""A real mail server on the loopback interface, in a thread with its own event loop."""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, ClassVar

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Protocol = Callable[[], asyncio.BaseProtocol]


@dataclass
class Inbox:
    """Accepts mail, unless `refusal` is the answer to a recipient."""

    refusal: str = ""
    delay: float = 0
    """Seconds before each answer to a recipient and a message."""
    messages: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[LoginPassword] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        await asyncio.sleep(self.delay)
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.delay)
        content = envelope.original_content or b""
        parsed = message_from_bytes(content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.messages.append(parsed)
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticate(self, *arguments: Any) -> AuthResult:
        login: LoginPassword = arguments[-1]
        self.logins.append(login)
        return AuthResult(success=login.password == b"right", handled=False)


@contextmanager
def serving(protocol: Protocol, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve a protocol, and yield the port."""
    logging.getLogger("mail").setLevel(logging.CRITICAL)  # the server's own log has addresses
    loop = asyncio.SelectorEventLoop()  # aiosmtpd's STARTTLS needs asyncio's transports
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(5)

    async def start() -> asyncio.Server:
        return await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)

    async def stop() -> None:
        server.close()
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        while Silent.connections:
            Silent.connections.pop().abort()
        await asyncio.sleep(0)

    server = run(start())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        run(stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def smtp(inbox: Inbox, **options: Any) -> Protocol:
    """Return the protocol of a mail server; `options` are those of aiosmtpd."""
    return lambda: SMTP(inbox, loop=asyncio.get_running_loop(), **options)


class Silent(asyncio.Protocol):
    """Accepts connections, and never answers."""

    connections: ClassVar[list[asyncio.Transport]] = []

    def connection_made(self, transport: Any) -> None:
        self.connections.append(transport)
