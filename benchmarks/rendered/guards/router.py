"""The same route three times: protected by the service, protected by hand, and open."""

import os
import time
from typing import Annotated

import jwt
from fastapi import APIRouter, Header, HTTPException, Request
from sqlalchemy import bindparam, select

from app.core import ReadSessionDep, SessionDep
from app.core.auth.models import AuthSession, now
from app.core.distribution import distribution
from app.songs.models import Song
from app.songs.schemas import SongRead
from app.users import CurrentUser, User

SECRET = os.environ["TOKEN_SECRET"]
SERVICE = distribution()[0]
AUDIENCE = f"{SERVICE}/access"
USER = (
    select(User)
    .join(AuthSession, AuthSession.user_id == User.id)
    .where(
        User.id == bindparam("user_id"),
        User.is_active,
        AuthSession.family == bindparam("family"),
        AuthSession.expires_at > bindparam("time", type_=AuthSession.expires_at.type),
    )
)

router = APIRouter(prefix="/guards")


@router.get("/service/{song_id}", response_model=SongRead)
async def protected_by_the_service(
    song_id: int, session: ReadSessionDep, user: CurrentUser
) -> Song:
    """Return a song to a user."""
    return await session.get_one(Song, song_id)


@router.get("/hand/{song_id}", response_model=SongRead)
async def protected_by_hand(
    song_id: int, session: ReadSessionDep, authorization: Annotated[str, Header()]
) -> Song:
    """Return a song to a user, with a minimum of code."""
    claims = jwt.decode(
        authorization.removeprefix("Bearer "),
        SECRET,
        algorithms=["HS256"],
        audience=AUDIENCE,
        issuer=SERVICE,
    )
    parameters = {
        "user_id": int(claims["sub"]),
        "family": claims["sid"],
        "time": now(),
    }
    if await session.scalar(USER, parameters) is None:
        raise HTTPException(401)
    return await session.get_one(Song, song_id)


@router.get("/open/{song_id}", response_model=SongRead)
async def not_protected(song_id: int, session: ReadSessionDep) -> Song:
    """Return a song."""
    return await session.get_one(Song, song_id)


@router.get("/cpu")
async def read_cpu_time() -> float:
    """Return the seconds of CPU time that the process has used."""
    return time.process_time()


@router.post("/users/{number}", status_code=204)
async def create_users(number: int, request: Request, session: SessionDep) -> None:
    """Create users with the password `correct horse battery staple`, and a song."""
    password_hash = await request.app.state.passwords.hash("correct horse battery staple")
    session.add_all(
        User(email=f"user{index}@example.com", name="User", password_hash=password_hash)
        for index in range(number)
    )
    session.add(Song(title="Hung Up", artist="Madonna"))
