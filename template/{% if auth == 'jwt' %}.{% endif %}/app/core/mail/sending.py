"""Delivers mail."""

import asyncio
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import aiosmtplib
import structlog
from fastapi import Depends

from app.core.mail.message import Mail, compose, mask_address, parse_sender
from app.core.mail.settings import Settings

ENHANCED_CODE = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")


class Mailer:
    """Sends mail to the mail server, or to a folder if none is set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sender = parse_sender(settings.mail_from or "noreply@localhost")
        self._logger = structlog.get_logger(__name__)

    async def send(self, mail: Mail) -> None:
        """Send a mail. If that fails, the reason is logged, and nothing is raised.

        Handlers send after the commit: `background_tasks.add_task(mailer.send, mail)`.
        """
        message = compose(mail, self.sender)
        # Never the subject or the text, which can contain addresses and tokens.
        logger = self._logger.bind(
            recipient=mask_address(mail.to), message_id=message["Message-ID"]
        )
        try:
            async with asyncio.timeout(self._settings.smtp_timeout):
                destination = await self._deliver(message, mail.to)
        except (OSError, aiosmtplib.SMTPException) as error:
            logger.error("mail not sent", reason=_reason(error))
        except asyncio.CancelledError:
            logger.error("mail not sent", reason="the service stopped")
            raise
        else:
            logger.info("mail sent", to=destination)

    async def _deliver(self, message: EmailMessage, recipient: str) -> str:
        """Deliver a message, and return where to: the path of a file, or the mail server."""
        settings = self._settings
        if settings.smtp_host is None and settings.mail_folder is not None:
            return await asyncio.to_thread(_write, message, settings.mail_folder)
        password = settings.smtp_password
        await aiosmtplib.send(
            message,
            sender=self.sender.addr_spec,
            recipients=[recipient],
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=password.get_secret_value() if password else None,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            timeout=settings.smtp_timeout,
        )
        return str(settings.smtp_host)


def _write(message: EmailMessage, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{token_hex(4)}.eml"
    file.touch(mode=0o600)
    file.write_bytes(bytes(message))
    return str(file)


def _reason(error: Exception) -> str:
    """Return why a mail was not sent, without the server's words, which can contain addresses."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPResponseException):
        codes = [str(error.code), *ENHANCED_CODE.findall(error.message)[:1]]
        return f"{type(error).__name__}: {' '.join(codes)}"
    return f"{type(error).__name__}: {error}".removesuffix(": ")


async def get_mailer(settings: Annotated[Settings, Depends(Settings.of)]) -> Mailer:
    """Return a mailer with the application's settings."""
    return Mailer(settings)


MailerDep = Annotated[Mailer, Depends(get_mailer)]
"""Mailer for handlers: `background_tasks.add_task(mailer.send, mail)`."""
