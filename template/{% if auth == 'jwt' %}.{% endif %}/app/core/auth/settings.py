"""Settings of tokens, sessions and passwords."""

from pathlib import Path
from secrets import token_urlsafe
from typing import Self

from pydantic import Field, HttpUrl, SecretStr, field_validator, model_validator

from app.core.settings import EnvironmentSettings

SHORTEST_SECRET = 32
"""Length of the hash of HS256, in bytes."""
HOW_TO_MAKE_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'


class PasswordSettings(EnvironmentSettings):
    """Settings of password hashes. The minimum is what OWASP recommends for Argon2id."""

    password_hash_memory: int = Field(default=19456, ge=19456)
    """Memory for one hash, in KiB."""
    password_hash_rounds: int = Field(default=2, ge=2)
    password_hash_parallelism: int = Field(default=1, ge=1)
    password_hashes_at_once: int = Field(default=4, ge=1)
    """Maximum number of hashes that a process computes at the same time."""


class Settings(PasswordSettings):
    """Settings of tokens and sessions. Lifetimes are in seconds."""

    token_secret: SecretStr = Field(default=SecretStr(""), validate_default=True)
    """Secret that signs tokens."""
    token_old_secrets: SecretStr = SecretStr("")
    """Earlier secrets, separated by commas, whose tokens are still accepted."""
    access_token_lifetime: int = Field(default=15 * 60, ge=60)
    session_idle_lifetime: int = Field(default=14 * 24 * 3600, ge=3600)
    """Time without a refresh after which a session ends."""
    session_lifetime: int = Field(default=90 * 24 * 3600, ge=3600)
    """Time after the login after which a session ends."""
    refresh_cookie: bool = False
    """Whether browsers get the refresh token in a cookie that scripts cannot read."""
    registration: bool = True
    """Whether anybody can register; otherwise, admins invite users."""
    frontend_url: HttpUrl = HttpUrl("http://127.0.0.1:8000/")
    """Address of the pages that links in mails open."""

    @field_validator("token_secret")
    @classmethod
    def _require_secret(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value().strip()
        if "," in secret:
            raise ValueError("it must not contain commas, which separate TOKEN_OLD_SECRETS")
        if len(secret.encode()) < SHORTEST_SECRET:
            raise ValueError(
                f"set it to a random text of at least {SHORTEST_SECRET} characters, "
                f"such as the output of: {HOW_TO_MAKE_ONE}"
            )
        return SecretStr(secret)

    @field_validator("token_old_secrets")
    @classmethod
    def _require_long_secrets(cls, value: SecretStr) -> SecretStr:
        if any(len(old.encode()) < SHORTEST_SECRET for old in split(value)):
            raise ValueError(f"each secret must have at least {SHORTEST_SECRET} characters")
        return value

    @field_validator("frontend_url")
    @classmethod
    def _require_plain_address(cls, value: HttpUrl) -> HttpUrl:
        if value.query or value.fragment:
            raise ValueError("it must not contain ? or #, because paths are appended to it")
        if value.username or value.password:
            raise ValueError("it must not contain a password, because mails contain it")
        return value

    @model_validator(mode="after")
    def _limit_idle_lifetime(self) -> Self:
        if self.session_idle_lifetime > self.session_lifetime:
            raise ValueError("SESSION_IDLE_LIFETIME must not exceed SESSION_LIFETIME")
        return self

    @classmethod
    def for_development(cls, folder: Path) -> dict[str, str]:
        """Make a random secret, unless there is one, and keep it in `folder`."""
        if _Secret.load().token_secret:
            return {}
        file = folder / "token_secret"
        file.touch(mode=0o600)
        if not file.read_text(encoding="utf-8"):
            file.write_text(token_urlsafe(48), encoding="utf-8")
        return {"TOKEN_SECRET": file.read_text(encoding="utf-8")}


class _Secret(EnvironmentSettings):
    token_secret: str | None = None


def split(secrets: SecretStr) -> list[str]:
    """Return the secrets in a list that commas separate."""
    parts = (part.strip() for part in secrets.get_secret_value().split(","))
    return [part for part in parts if part]
