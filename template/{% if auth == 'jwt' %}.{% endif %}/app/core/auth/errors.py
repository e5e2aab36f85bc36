"""Refusals, as problem details."""

from types import MappingProxyType

from app.core.problems import ProblemError

NO_STORE = {"Cache-Control": "no-store"}
"""Header of answers to tokens and passwords: browsers and proxies must not store them."""


class UnauthorizedError(ProblemError):
    """The request needs an access token."""

    status = 401
    detail = "This needs an access token."
    headers = MappingProxyType({"WWW-Authenticate": "Bearer", **NO_STORE})


class InvalidTokenError(UnauthorizedError):
    """A token is invalid, expired or revoked."""

    detail = "The token is invalid or has expired."
    headers = MappingProxyType({"WWW-Authenticate": 'Bearer error="invalid_token"', **NO_STORE})


class InvalidCredentialsError(UnauthorizedError):
    """The address and the password do not match, or the account is not active."""

    detail = "The email address or the password is wrong."


class WrongPasswordError(ProblemError):
    """The current password of a user who is logged in is wrong; the access token stays valid."""

    status = 403
    detail = "The password is wrong."


class ForbiddenError(ProblemError):
    """The user's role does not allow the request."""

    status = 403
    detail = "Your role does not allow this."


class InvalidLinkError(ProblemError):
    """The token of a mail is invalid, expired or used."""

    status = 400
    detail = "The link is invalid, has expired, or was already used."


class EmailTakenError(ProblemError):
    """Another user has an address."""

    status = 409
    detail = "This email address is already registered."


class WeakPasswordError(ProblemError):
    """A new password is easy to guess."""

    status = 422


class RefreshedError(ProblemError):
    """A refresh token was just used by another request of the same client."""

    status = 409
    detail = "Another request just used this refresh token: use the newer one."


class LastAdminError(ProblemError):
    """Without this account, nobody could manage users."""

    status = 409
    detail = "This is the last active admin."


class TooManyAttemptsError(ProblemError):
    """An account or a client made too many attempts."""

    status = 429
    detail = "Too many attempts: try again later."

    def __init__(self, wait: int) -> None:
        super().__init__()
        self.headers = {"Retry-After": str(wait)}
