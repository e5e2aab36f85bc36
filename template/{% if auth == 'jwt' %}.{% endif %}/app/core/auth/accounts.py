"""Operations on accounts: login, registration, passwords, addresses and access."""

import hashlib
from typing import Annotated

import structlog
from fastapi import BackgroundTasks, Depends, Request
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from app.core.auth import sessions, throttle
from app.core.auth.errors import (
    EmailTakenError,
    InvalidCredentialsError,
    InvalidLinkError,
    InvalidTokenError,
    LastAdminError,
    WrongPasswordError,
)
from app.core.auth.mails import RESET_LIFETIME, VERIFICATION_LIFETIME, Mails
from app.core.auth.models import UserMixin, user_model
from app.core.auth.passwords import LONGEST, Passwords, check_new_password
from app.core.auth.schemas import canonical_email
from app.core.auth.settings import Settings
from app.core.auth.throttle import CLIENTS, MAILS, PASSWORDS, changed
from app.core.auth.tokens import LEEWAY, Purpose, Tokens, read_id
from app.core.database import SessionDep
from app.core.mail import Mail, MailerDep

ADMIN = "admin"
"""The role that manages users. At least one active user keeps it."""

logger = structlog.get_logger(__name__)


class Accounts:
    """Operations on accounts, for one request.

    No transaction is open while a password is hashed, because that takes long.
    """

    def __init__(
        self,
        session: AsyncSession,
        settings: Settings,
        request: Request,
        tasks: BackgroundTasks,
        mailer: MailerDep,
    ) -> None:
        self.session = session
        self.settings = settings
        self.tokens: Tokens = request.app.state.tokens
        self.passwords: Passwords = request.app.state.passwords
        self._client = throttle.client_of(request)
        self._user_agent = request.headers.get("User-Agent", "")
        self._tasks = tasks
        self._mails: Mails = request.app.state.mails
        self._mailer = mailer

    async def log_in(self, email: str, password: str) -> sessions.Started:
        """Start a session.

        Raises:
            InvalidCredentialsError: the address and the password do not match.
            TooManyAttemptsError: there were too many attempts.
        """
        try:
            email = canonical_email(email.strip())
        except ValueError:
            email = ""  # no user has it
        user = await self._verify(email, password)
        started = await sessions.start(self.session, user.id, self.settings, self._user_agent)
        logger.info("logged in", user_id=user.id, session_id=started.id)
        return started

    async def _verify(self, email: str, password: str) -> UserMixin:
        """Return the active user with this address and password, and upgrade a weak hash."""
        model = user_model()
        await throttle.charge(self.session, CLIENTS, self._client)
        await throttle.charge(self.session, PASSWORDS, email)
        user = await self.session.scalar(select(model).where(model.email == email, model.is_active))
        await self.session.commit()
        known = user.password_hash if user else None
        if len(password) > LONGEST:
            known = None
        if not await self.passwords.verify(password[:LONGEST], known) or not user or not known:
            logger.info("wrong password", user_id=user.id if user else None, client=self._client)
            raise InvalidCredentialsError
        new = await self.passwords.hash(password) if self.passwords.is_weaker(known) else known
        # The user can have changed while the password was hashed.
        if not await self._replace_hash(user, new):
            raise InvalidCredentialsError
        await throttle.clear(self.session, PASSWORDS, email)
        await throttle.refund(self.session, CLIENTS, self._client)
        return user

    async def _confirm(self, user: UserMixin, password: str) -> UserMixin:
        """Verify the password of a user who is logged in."""
        try:
            return await self._verify(user.email, password)
        except InvalidCredentialsError:
            raise WrongPasswordError from None

    async def refresh(self, token: str) -> sessions.Started:
        """Continue a session; see `sessions.refresh`."""
        return await sessions.refresh(self.session, token, self.settings)

    def create_access_token(self, started: sessions.Started) -> str:
        """Return an access token for a session."""
        return self.tokens.create(
            Purpose.ACCESS,
            self.settings.access_token_lifetime,
            sub=str(started.user_id),
            sid=started.family,
        )

    async def request_registration(self, email: str) -> None:
        """Send a mail to continue a registration; to a user, one to reset the password."""
        user = await self._find_for_mail(email)
        if user is None:
            self._send(self._mails.registration(email, self._create_invitation(email, "user")))
        elif user.is_active:
            self._send_reset(user)

    async def invite(self, email: str, role: str) -> None:
        """Send a mail with which somebody can register with a role.

        Raises:
            EmailTakenError: a user has the address.
        """
        if await is_taken(self.session, email):
            raise EmailTakenError
        await throttle.charge(self.session, MAILS, email)
        self._send(self._mails.invitation(email, self._create_invitation(email, role)))
        logger.info("user invited", role=role)

    async def verify_registration(self, token: str, password: str) -> dict[str, str]:
        """Return the values of the common columns of a new user.

        Raises:
            InvalidLinkError: the token of the mail is invalid, expired or used.
            EmailTakenError: a user has the address.
            WeakPasswordError: the password is easy to guess.
        """
        email, role, token_id = self._read(Purpose.REGISTRATION, token, "email", "role", "jti")
        check_new_password(password, email)
        await throttle.charge(self.session, CLIENTS, self._client)
        password_hash = await self.passwords.hash(password)
        # Users who lost their role could otherwise delete their account and register again.
        if not await throttle.spend(self.session, token_id, VERIFICATION_LIFETIME + LEEWAY):
            await self._refuse_taken(email)
            raise InvalidLinkError
        return {"email": email, "role": role, "password_hash": password_hash}

    async def add(self, user: UserMixin) -> None:
        """Store a new user.

        Raises:
            EmailTakenError: another user has the address.
        """
        email = user.email
        self.session.add(user)
        try:
            await self.session.flush()
        except IntegrityError:
            await self._refuse_taken(email)
            raise
        logger.info("user registered", user_id=user.id)

    async def request_reset(self, email: str) -> None:
        """Send a mail to reset the password, if the address is that of an active user."""
        user = await self._find_for_mail(email)
        if user and user.is_active:
            self._send_reset(user)

    async def reset_password(self, token: str, password: str) -> None:
        """Replace a forgotten password, and end all sessions.

        Raises:
            InvalidLinkError: the token is invalid, expired or used.
            WeakPasswordError: the password is easy to guess.
        """
        user = await self._find_by_link(Purpose.PASSWORD_RESET, token)
        check_new_password(password, user.email)
        await self.session.commit()
        new = await self.passwords.hash(password)
        if not await self._replace_hash(user, new):
            raise InvalidLinkError
        await sessions.revoke(self.session, user.id)
        await throttle.clear(self.session, PASSWORDS, user.email)
        self._send(self._mails.password_changed(user.email))
        logger.info("password reset", user_id=user.id)

    async def change_password(
        self, user: UserMixin, session_id: int, current: str, password: str
    ) -> None:
        """Replace the password, and end the user's other sessions.

        Raises:
            WrongPasswordError: the current password is wrong.
            WeakPasswordError: the new password is easy to guess.
        """
        check_new_password(password, user.email)
        found = await self._confirm(user, current)
        await self.session.commit()
        new = await self.passwords.hash(password)
        if not await self._replace_hash(found, new):
            raise WrongPasswordError
        await sessions.revoke(self.session, user.id, keep=session_id)
        self._send(self._mails.password_changed(user.email))
        logger.info("password changed", user_id=user.id)

    async def request_email_change(self, user: UserMixin, password: str, email: str) -> None:
        """Send a mail that proves the new address, and tell the old one.

        Raises:
            WrongPasswordError: the password is wrong.
        """
        found = await self._confirm(user, password)
        await throttle.charge(self.session, MAILS, email)
        token = self._create_link(Purpose.EMAIL_CHANGE, found, VERIFICATION_LIFETIME, email=email)
        self._send(self._mails.email_change(email, token))
        self._send(self._mails.address_change_requested(user.email))
        logger.info("address change requested", user_id=user.id)

    async def change_email(self, token: str) -> None:
        """Replace the address of a user, and tell the old one.

        Raises:
            InvalidLinkError: the token is invalid, expired or used.
            EmailTakenError: another user has the address.
        """
        user = await self._find_by_link(Purpose.EMAIL_CHANGE, token)
        (email,) = self._read(Purpose.EMAIL_CHANGE, token, "email")
        model = user_model()
        statement = (
            update(model)
            .where(model.id == user.id, model.email == user.email, model.is_active)
            .values(email=email)
            .execution_options(synchronize_session=False)
        )
        try:
            replaced = await self.session.execute(statement)
        except IntegrityError:
            await self._refuse_taken(email)
            raise
        if not changed(replaced):
            raise InvalidLinkError
        self._send(self._mails.address_changed(user.email))
        logger.info("address changed", user_id=user.id)

    async def delete(self, user: UserMixin, password: str) -> None:
        """Delete an account.

        Raises:
            WrongPasswordError: the password is wrong.
            LastAdminError: nobody else could manage users.
        """
        found = await self._confirm(user, password)
        await keep_an_admin(self.session, found)
        model = user_model()
        await self.session.execute(delete(model).where(model.id == user.id))
        logger.info("user deleted", user_id=user.id)

    async def _find_for_mail(self, email: str) -> UserMixin | None:
        """Return the user with an address, after counting the mail that is going to be sent."""
        await throttle.charge(self.session, CLIENTS, self._client)
        await throttle.charge(self.session, MAILS, email)
        model = user_model()
        return await self.session.scalar(select(model).where(model.email == email))

    async def _replace_hash(self, user: UserMixin, new: str) -> bool:
        """Replace a hash, and return whether the user is active and had it until now."""
        model = user_model()
        replaced = await self.session.execute(
            update(model)
            .where(model.id == user.id, model.password_hash == user.password_hash, model.is_active)
            .values(password_hash=new)
            .execution_options(synchronize_session=False)
        )
        set_committed_value(user, "password_hash", new)
        return changed(replaced)

    async def _refuse_taken(self, email: str) -> None:
        """Refuse an address that another user has; the driver's error contains it."""
        await self.session.rollback()
        if await is_taken(self.session, email):
            raise EmailTakenError from None

    def _create_invitation(self, email: str, role: str) -> str:
        return self.tokens.create(
            Purpose.REGISTRATION, VERIFICATION_LIFETIME, email=email, role=role
        )

    def _create_link(self, purpose: Purpose, user: UserMixin, lifetime: int, **claims: str) -> str:
        """Return a token that is valid until the user's password or address changes."""
        return self.tokens.create(purpose, lifetime, sub=str(user.id), state=_state(user), **claims)

    def _send_reset(self, user: UserMixin) -> None:
        token = self._create_link(Purpose.PASSWORD_RESET, user, RESET_LIFETIME)
        self._send(self._mails.reset(user.email, token))

    def _send(self, mail: Mail) -> None:
        self._tasks.add_task(self._mailer.send, mail)

    async def _find_by_link(self, purpose: Purpose, token: str) -> UserMixin:
        user_id, state = self._read(purpose, token, "sub", "state")
        user = await self.session.get(user_model(), read_id(user_id))
        if user is None or not user.is_active or _state(user) != state:
            raise InvalidLinkError
        return user

    def _read(self, purpose: Purpose, token: str, *names: str) -> list[str]:
        try:
            return self.tokens.read(purpose, token, *names)
        except InvalidTokenError:
            raise InvalidLinkError from None


async def is_taken(session: AsyncSession, email: str) -> bool:
    """Return whether a user has an address."""
    model = user_model()
    return await session.scalar(select(model.id).where(model.email == email)) is not None


async def change_access(
    session: AsyncSession,
    user: UserMixin,
    *,
    role: str | None = None,
    is_active: bool | None = None,
) -> None:
    """Change the role of a user, or activate or deactivate them; both end their sessions.

    Raises:
        LastAdminError: nobody else could manage users.
    """
    new = role or user.role, user.is_active if is_active is None else is_active
    if new == (user.role, user.is_active):
        return
    if new != (ADMIN, True):
        await keep_an_admin(session, user)
    user.role, user.is_active = new
    await sessions.revoke(session, user.id)
    await session.flush()
    logger.info("access changed", user_id=user.id, role=user.role, is_active=user.is_active)


async def keep_an_admin(session: AsyncSession, user: UserMixin) -> None:
    """Check that another active admin remains without this user.

    Raises:
        LastAdminError: there is no other.
    """
    if user.role != ADMIN or not user.is_active:
        return
    model = user_model()
    # Two admins can remove each other: the second one waits here, and finds one admin.
    admins = await session.scalars(
        select(model.id)
        .where(model.role == ADMIN, model.is_active)
        .order_by(model.id)
        .with_for_update()
    )
    if not set(admins) - {user.id}:
        raise LastAdminError


async def get_accounts(
    session: SessionDep,
    settings: Annotated[Settings, Depends(Settings.of)],
    request: Request,
    tasks: BackgroundTasks,
    mailer: MailerDep,
) -> Accounts:
    """Return the operations on accounts."""
    return Accounts(session, settings, request, tasks, mailer)


AccountsDep = Annotated[Accounts, Depends(get_accounts)]


def _state(user: UserMixin) -> str:
    return hashlib.sha256(f"{user.email} {user.password_hash}".encode()).hexdigest()[:32]
