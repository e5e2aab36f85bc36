"""Settings of mail."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from app.core.mail.message import parse_sender
from app.core.settings import EnvironmentSettings

HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*|[\da-f]*:[\da-f]*:[\da-f:.]*", re.ASCII)
"""A name, an IPv4 or an IPv6 address."""

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class FolderSettings(EnvironmentSettings):
    """Where mail goes without a mail server."""

    mail_folder: Path | None = None
    """Folder that receives all mail as files if there is no SMTP_HOST."""


class Settings(FolderSettings):
    """Settings of mail. Each field is checked against those above it."""

    smtp_host: str | None = Field(default=None, validate_default=True)
    """Mail server, by name or IP address."""
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    """By default 587 for STARTTLS, 465 for TLS, and 25 without encryption."""
    smtp_username: str | None = None
    smtp_password: SecretStr | None = Field(default=None, validate_default=True)
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    """When encryption starts; a server that does not offer it gets no mail."""
    smtp_timeout: float = Field(default=10, gt=0)
    """Seconds for delivering a mail."""
    mail_from: str | None = Field(default=None, validate_default=True)
    """Sender of all mail: an address, or a name with an address in angle brackets."""

    @classmethod
    def for_development(cls, folder: Path) -> dict[str, str]:
        """Write mail to files, unless another folder is set."""
        return {} if FolderSettings.load().mail_folder else {"MAIL_FOLDER": str(folder / "mails")}

    @field_validator("smtp_host")
    @classmethod
    def _check_host(cls, host: str | None, info: ValidationInfo) -> str | None:
        if host is None and info.data.get("mail_folder") is None:
            raise ValueError(
                "set it to a mail server, or set MAIL_FOLDER to a folder that receives all mail"
            )
        if host and not HOST.fullmatch(host):
            raise ValueError("it must be a name or an IP address, without scheme and port")
        return host

    @field_validator("smtp_password")
    @classmethod
    def _check_password(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (password is None) != (info.data.get("smtp_username") is None):
            raise ValueError("set both SMTP_USERNAME and SMTP_PASSWORD, or neither")
        return password

    @field_validator("smtp_tls")
    @classmethod
    def _check_tls(cls, tls: str, info: ValidationInfo) -> str:
        local = info.data.get("smtp_host") in {None, *LOOPBACK}
        if tls == "none" and info.data.get("smtp_username") and not local:
            raise ValueError("the password needs encryption: use starttls or tls")
        return tls

    @field_validator("mail_from")
    @classmethod
    def _check_sender(cls, sender: str | None, info: ValidationInfo) -> str | None:
        if sender is None and info.data.get("smtp_host"):
            raise ValueError("SMTP_HOST needs a sender, such as Shop <noreply@example.com>")
        if sender is not None:
            parse_sender(sender)
        return sender
