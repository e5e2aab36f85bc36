"""Routes of `/users`. Those of `/auth`, such as the login, are in `app/core/auth`."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import func, select

from app.core import ReadSessionDep, SessionDep, problems
from app.core.auth import (
    AccountsDep,
    EmailTakenError,
    InvalidLinkError,
    LastAdminError,
    TooManyAttemptsError,
    WeakPasswordError,
    change_access,
    require_role,
)
from app.users import CurrentUser
from app.users.models import Role, User
from app.users.schemas import (
    AccessUpdate,
    Invitation,
    ProfileUpdate,
    UserCreate,
    UserPage,
    UserQuery,
    UserRead,
)

router = APIRouter(prefix="/users", tags=["users"])
ADMINS_ONLY = [require_role(Role.ADMIN)]


@router.post(
    "",
    status_code=201,
    response_model=UserRead,
    responses=problems(InvalidLinkError, EmailTakenError, WeakPasswordError, TooManyAttemptsError),
)
async def create_user(data: UserCreate, accounts: AccountsDep) -> User:
    """Complete a registration, with the token of the mail that `/auth/register` sends."""
    verified = await accounts.verify_registration(data.token, data.password)
    user = User(name=data.name, **verified)
    await accounts.add(user)
    return user


@router.get("/me", response_model=UserRead)
async def read_own_user(user: CurrentUser) -> User:
    """Return the user who sends the request."""
    return user


@router.patch("/me", response_model=UserRead)
async def update_own_user(data: ProfileUpdate, user: CurrentUser, session: SessionDep) -> User:
    """Update the profile of the user who sends the request."""
    user.name = data.name
    await session.flush()
    return user


@router.get("", response_model=UserPage, dependencies=ADMINS_ONLY)
async def list_users(
    query: Annotated[UserQuery, Query()], session: ReadSessionDep
) -> dict[str, object]:
    """List users, with filters, ordering and pagination."""
    filters = query.model_dump(include={"email", "role", "is_active"}, exclude_none=True)
    found = select(User).filter_by(**filters)
    column = getattr(User, query.order_by.removeprefix("-"))
    order = column.desc() if query.order_by.startswith("-") else column.asc()
    page = found.order_by(order, User.id).limit(query.limit).offset(query.offset)
    total = await session.scalar(select(func.count()).select_from(found.subquery()))
    users = list(await session.scalars(page))
    return {"items": users, "total": total, "limit": query.limit, "offset": query.offset}


@router.post(
    "/invitations",
    status_code=202,
    dependencies=ADMINS_ONLY,
    responses=problems(EmailTakenError, TooManyAttemptsError),
)
async def invite_user(data: Invitation, accounts: AccountsDep) -> None:
    """Send a mail with which somebody can register, even if registration is closed."""
    await accounts.invite(data.email, data.role)


@router.patch(
    "/{user_id}",
    response_model=UserRead,
    dependencies=ADMINS_ONLY,
    responses=problems(LastAdminError),
)
async def update_access(user_id: int, data: AccessUpdate, session: SessionDep) -> User:
    """Change the role of a user, or activate or deactivate them; this ends their sessions."""
    user = await session.get_one(User, user_id)
    await change_access(session, user, role=data.role, is_active=data.is_active)
    return user
