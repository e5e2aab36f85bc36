"""Routes of `/auth`."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, HTTPException, Query, Response
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy import select

from app.core.auth import sessions
from app.core.auth.accounts import AccountsDep
from app.core.auth.dependencies import IdentityDep
from app.core.auth.errors import (
    EmailTakenError,
    ForbiddenError,
    InvalidCredentialsError,
    InvalidLinkError,
    InvalidTokenError,
    LastAdminError,
    RefreshedError,
    TooManyAttemptsError,
    WeakPasswordError,
)
from app.core.auth.models import AuthSession, now
from app.core.auth.schemas import (
    Credentials,
    EmailChange,
    EmailConfirmation,
    EmailRequest,
    PasswordChange,
    PasswordConfirmation,
    PasswordReset,
    RefreshRequest,
    SessionRead,
    TokenRead,
)
from app.core.auth.settings import Settings
from app.core.database import ReadSessionDep, SessionDep
from app.core.problems import problems

COOKIE = "__Host-refresh"
"""Browsers accept this name only over HTTPS and from this host, so that no other can set it."""


async def forbid_caching(response: Response) -> None:
    """Tell browsers and proxies not to store the response."""
    response.headers["Cache-Control"] = "no-store"


async def require_header(
    settings: Annotated[Settings, Depends(Settings.of)],
    x_requested_with: Annotated[str | None, Header()] = None,
) -> None:
    """Refuse requests of other sites, which cannot add headers; only needed with a cookie."""
    if settings.refresh_cookie and not x_requested_with:
        raise ForbiddenError("Send the header X-Requested-With, with any value.")


router = APIRouter(prefix="/auth", tags=["auth"], dependencies=[Depends(forbid_caching)])
CSRF = Depends(require_header)


@router.post("/token", responses=problems(InvalidCredentialsError, TooManyAttemptsError))
async def log_in_by_form(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], accounts: AccountsDep
) -> TokenRead:
    """Log in by a form, as OAuth 2 defines it. It never sets a cookie."""
    return _tokens(accounts, await accounts.log_in(form.username, form.password))


@router.post(
    "/login",
    dependencies=[CSRF],
    responses=problems(InvalidCredentialsError, ForbiddenError, TooManyAttemptsError),
)
async def log_in(data: Credentials, accounts: AccountsDep, response: Response) -> TokenRead:
    """Log in."""
    return _tokens(accounts, await accounts.log_in(data.email, data.password), response)


@router.post(
    "/refresh",
    dependencies=[CSRF],
    responses=problems(InvalidTokenError, ForbiddenError, RefreshedError),
)
async def refresh(
    accounts: AccountsDep,
    response: Response,
    data: RefreshRequest | None = None,
    cookie: Annotated[str | None, Cookie(alias=COOKIE)] = None,
) -> TokenRead:
    """Exchange a refresh token for a new one and an access token."""
    token = data.refresh_token if data else None
    if accounts.settings.refresh_cookie:
        token = token or cookie
    return _tokens(accounts, await accounts.refresh(token or ""), response)


@router.post("/logout", status_code=204, dependencies=[CSRF])
async def log_out(identity: IdentityDep, session: SessionDep, response: Response) -> None:
    """End this session, including its access tokens."""
    await sessions.revoke(session, identity.user.id, identity.session_id)
    _delete_cookie(response)


@router.post("/logout-everywhere", status_code=204, dependencies=[CSRF])
async def log_out_everywhere(
    identity: IdentityDep, session: SessionDep, response: Response
) -> None:
    """End all sessions of the user."""
    await sessions.revoke(session, identity.user.id)
    _delete_cookie(response)


@router.get("/sessions")
async def list_sessions(
    identity: IdentityDep,
    session: ReadSessionDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
) -> list[SessionRead]:
    """List the sessions of the user, newest first."""
    found = await session.scalars(
        select(AuthSession)
        .where(AuthSession.user_id == identity.user.id, AuthSession.expires_at > now())
        .order_by(AuthSession.id.desc())
        .limit(limit)
    )
    listed = [SessionRead.model_validate(each) for each in found]
    for each in listed:
        each.is_current = each.id == identity.session_id
    return listed


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session_id: int, identity: IdentityDep, session: SessionDep) -> None:
    """End a session of the user."""
    if not await sessions.revoke(session, identity.user.id, session_id):
        raise HTTPException(404, "You have no session with this id.")


@router.post("/register", status_code=202, responses=problems(ForbiddenError, TooManyAttemptsError))
async def register(data: EmailRequest, accounts: AccountsDep) -> None:
    """Send a mail to continue a registration. The answer is the same for known addresses."""
    if not accounts.settings.registration:
        raise ForbiddenError("Users are invited by an admin.")
    await accounts.request_registration(data.email)


@router.post("/password-reset", status_code=202, responses=problems(TooManyAttemptsError))
async def request_password_reset(data: EmailRequest, accounts: AccountsDep) -> None:
    """Send a mail to reset a password. The answer is the same for unknown addresses."""
    await accounts.request_reset(data.email)


@router.post(
    "/password-reset/confirm",
    status_code=204,
    responses=problems(InvalidLinkError, WeakPasswordError),
)
async def reset_password(data: PasswordReset, accounts: AccountsDep) -> None:
    """Replace a forgotten password, with the token of a mail."""
    await accounts.reset_password(data.token, data.password)


@router.post(
    "/password",
    status_code=204,
    responses=problems(WeakPasswordError, TooManyAttemptsError),
)
async def change_password(
    data: PasswordChange, identity: IdentityDep, accounts: AccountsDep
) -> None:
    """Replace the password; this ends the other sessions of the user."""
    await accounts.change_password(
        identity.user, identity.session_id, data.current_password, data.new_password
    )


@router.post("/email", status_code=202, responses=problems(TooManyAttemptsError))
async def request_email_change(
    data: EmailChange, identity: IdentityDep, accounts: AccountsDep
) -> None:
    """Send a mail to a new address, to prove that it is the user's."""
    await accounts.request_email_change(identity.user, data.password, data.email)


@router.post(
    "/email/confirm", status_code=204, responses=problems(InvalidLinkError, EmailTakenError)
)
async def change_email(data: EmailConfirmation, accounts: AccountsDep) -> None:
    """Replace the address, with the token of a mail."""
    await accounts.change_email(data.token)


@router.post(
    "/delete-account",
    status_code=204,
    responses=problems(LastAdminError, TooManyAttemptsError),
)
async def delete_account(
    data: PasswordConfirmation, identity: IdentityDep, accounts: AccountsDep
) -> None:
    """Delete the account of the user."""
    await accounts.delete(identity.user, data.password)


def _delete_cookie(response: Response) -> None:
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")


def _tokens(
    accounts: AccountsDep, started: sessions.Started, response: Response | None = None
) -> TokenRead:
    """Return the tokens of a session, or put the refresh token into a cookie of the response."""
    cookie = accounts.settings.refresh_cookie
    if cookie and response:
        response.set_cookie(
            COOKIE,
            started.refresh_token,
            max_age=accounts.settings.session_lifetime,
            secure=True,
            httponly=True,
            samesite="strict",
        )
    return TokenRead(
        access_token=accounts.create_access_token(started),
        expires_in=accounts.settings.access_token_lifetime,
        refresh_token=None if cookie else started.refresh_token,
    )
