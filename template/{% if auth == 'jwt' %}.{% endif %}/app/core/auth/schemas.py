"""Schemas of requests and responses."""

from datetime import datetime
from typing import Annotated, Literal

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.core.auth.passwords import LONGEST, SHORTEST

LONGEST_EMAIL = 254


def canonical_email(text: str) -> str:
    """Return the only form in which an address is stored: ASCII, in lower case.

    Raises:
        ValueError: the text is not an email address.
    """
    if len(text) > LONGEST_EMAIL:
        raise ValueError(f"An email address has at most {LONGEST_EMAIL} characters.")
    if not text.isascii():  # a domain with other characters has an ASCII form
        raise ValueError("An email address must consist of ASCII characters.")
    try:
        return validate_email(text, check_deliverability=False, strict=True).normalized.lower()
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None


Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=LONGEST_EMAIL),
    AfterValidator(canonical_email),
    Field(json_schema_extra={"format": "email"}),
]

NewPassword = Annotated[str, StringConstraints(min_length=SHORTEST, max_length=LONGEST)]

Password = Annotated[str, StringConstraints(max_length=LONGEST)]

Token = Annotated[str, StringConstraints(max_length=2048)]


class Body(BaseModel):
    """Base class of request bodies."""

    model_config = ConfigDict(extra="forbid")


class Credentials(Body):
    """A login."""

    email: Annotated[str, StringConstraints(max_length=LONGEST_EMAIL)]
    password: Password


class TokenRead(BaseModel):
    """The result of a login or a refresh."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int = Field(description="Lifetime of the access token, in seconds.")
    refresh_token: str | None = Field(
        default=None, description="Token for `/auth/refresh`, unless it is in a cookie."
    )


class RefreshRequest(Body):
    """A refresh token, unless it is in a cookie."""

    refresh_token: Token


class EmailRequest(Body):
    """An address to which a mail is sent."""

    email: Email


class EmailChange(Body):
    """A new address, and the user's password."""

    email: Email
    password: Password


class EmailConfirmation(Body):
    """The token of a mail that verifies an address."""

    token: Token


class PasswordReset(Body):
    """The token of a mail, and a new password."""

    token: Token
    password: NewPassword


class PasswordChange(Body):
    """The user's password, and a new one."""

    current_password: Password
    new_password: NewPassword


class PasswordConfirmation(Body):
    """The user's password."""

    password: Password


class SessionRead(BaseModel):
    """A session of the user."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    is_current: bool = Field(default=False, description="Whether the request uses it.")
    client: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
