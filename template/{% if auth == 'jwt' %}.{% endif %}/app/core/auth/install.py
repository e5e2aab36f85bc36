"""Prepares an application for users."""

from posixpath import dirname, relpath
from typing import Any

from fastapi import FastAPI

from app.core.auth.dependencies import bearer
from app.core.auth.errors import ForbiddenError, UnauthorizedError
from app.core.auth.mails import Mails
from app.core.auth.models import user_model
from app.core.auth.passwords import Passwords
from app.core.auth.settings import Settings
from app.core.auth.tokens import Tokens
from app.core.mail.settings import Settings as MailSettings
from app.core.problems import problems

HEADER = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}


def install(app: FastAPI) -> None:
    """Add what signs tokens, hashes passwords and writes mails; complete the OpenAPI schema."""
    user_model()  # exits with a sentence if there is none
    settings = app.state.feature_settings[Settings]
    sends_mail = app.state.feature_settings[MailSettings].smtp_host is not None
    if sends_mail and "frontend_url" not in settings.model_fields_set:
        raise SystemExit("FRONTEND_URL is not set: with SMTP_HOST, users get links to it.")
    app.state.tokens = Tokens(settings)
    app.state.passwords = Passwords.of(settings)
    app.state.mails = Mails(app.title, settings)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        schema = describe()
        _describe_login(schema, app)
        _describe_refusals(schema)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_login(schema: dict[str, Any], app: FastAPI) -> None:
    """Set the URL of the login, which depends on the prefix of all routes.

    It is relative to the documentation, because a proxy can add a prefix to both.
    """
    scheme = schema.get("components", {}).get("securitySchemes", {}).get(bearer.scheme_name)
    if scheme:
        base = dirname(app.docs_url or app.openapi_url or "/")
        url = relpath(app.url_path_for("log_in_by_form"), base)
        scheme["flows"]["password"]["tokenUrl"] = url


def _describe_refusals(schema: dict[str, Any]) -> None:
    """Add the statuses 401 and 403 to the operations that accept an access token."""
    refusals: dict[str, Any] = {
        str(status): dict(description)
        for status, description in problems(UnauthorizedError, ForbiddenError).items()
    }
    refusals["401"]["headers"] = HEADER
    for path in schema["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "security" in operation:
                for status, description in refusals.items():
                    operation["responses"].setdefault(status, description)
