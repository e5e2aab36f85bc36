"""Measure what users cost: protected routes, logins, the shipped tests, and the size of `app/`.

A protected route is compared with the same route whose handler reads the token and the user itself,
in CPU time of the service. The login of a user with a wrong password is compared with that of an
unknown address: a difference would tell who has an account. The duration of the tests and the size
are compared with those of a service without users.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from secrets import token_urlsafe
from statistics import median
from typing import Any

import measuring
import suite
from support.databases import serve
from support.lines import lines_of_code
from support.projects import Project

GUARD_LIMIT, LOGIN_LIMIT, TESTS_LIMIT = 1.2, 1.25, 1.7
LINES_LIMITS = {False: 950, True: 1250}
"""Limits for the additional lines of code in `app/`, without and with docstrings."""
USERS_LIMIT = 250
"""Limit for those in `app/users`, without docstrings."""

DATABASES = ("sqlite", "postgresql", "mysql")
PARTS = ("guard", "login", "tests", "lines")
REQUESTS = 100
"""Number of requests to a route before the next one takes its turn."""
PASSWORD = "correct horse battery staple"  # noqa: S105


def main() -> None:
    """Measure on each database."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="measure only this part; can be repeated"
    )
    parser.add_argument("--rounds", type=int, default=40, help="rounds of requests")
    parser.add_argument("--runs", type=int, default=5, help="runs of the tests")
    options = parser.parse_args()
    parts = options.part or PARTS

    shares = []
    with measuring.template() as (template, folder):
        for database in measuring.chosen(options.database, DATABASES):
            users, none = (
                measuring.make_project(template, folder / f"{database}-{auth}", database, auth=auth)
                for auth in ("jwt", "none")
            )
            if "lines" in parts:
                shares += compare_lines(users, none)
                parts = [part for part in parts if part != "lines"]  # equal on all databases
            if "tests" in parts:
                ours, theirs = suite.compare([users, none], options.runs)
                shares.append(ours / theirs / TESTS_LIMIT)
                print(
                    f"{database}: tests {ours:.2f} s, without users {theirs:.2f} s, "
                    f"ratio {ours / theirs:.2f} (limit {TESTS_LIMIT})"
                )
            if {"guard", "login"} & {*parts}:
                with service(users, number_of_users=options.rounds + 1) as connection:
                    if "guard" in parts:
                        shares.append(compare_routes(connection, options.rounds, database))
                    if "login" in parts:
                        shares.append(compare_logins(connection, options.rounds, database))
    measuring.conclude(shares, 1, max)


def compare_lines(users: Project, none: Project) -> list[float]:
    """Print the additional lines of code, and return the shares of the limits."""
    shares = []
    for docstrings, limit in LINES_LIMITS.items():
        sizes = [
            lines_of_code(project.path / "app", docstrings=docstrings) for project in (users, none)
        ]
        more = sizes[0] - sizes[1]
        shares.append(more / limit)
        print(
            f"lines of code {'with' if docstrings else 'without'} docstrings: {more} more "
            f"than the {sizes[1]} without users (limit {limit})"
        )
    own = lines_of_code(users.path / "app" / "users")
    print(f"of these in app/users, without docstrings: {own} (limit {USERS_LIMIT})")
    return [*shares, own / USERS_LIMIT]


@contextmanager
def service(project: Project, number_of_users: int) -> Iterator[HTTPConnection]:
    """Run the service with the routes to compare and some users; yield a connection to it."""
    guards = project.path / "app" / "guards"
    shutil.copytree(measuring.RENDERED / "guards", guards)
    with measuring.on_core(measuring.CLIENT), serve(project) as server:
        env = {
            "DATABASE_URL": server.create(),
            "MAIL_FOLDER": str(project.path / "mails"),
            "TOKEN_SECRET": token_urlsafe(48),
        }
        project.uv_run(project.slug, "db", "upgrade", env=env)
        with measuring.running(project, "app.asgi:app", project.path, env) as port:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            assert send(connection, "POST", f"/guards/users/{number_of_users}")[0] == 204  # noqa: S101
            yield connection
            connection.close()


def compare_routes(connection: HTTPConnection, rounds: int, database: str) -> float:
    """Print the CPU time of a request to each route, and return the share of the limit."""
    _, tokens = log_in(connection, "user0@example.com", PASSWORD, client="192.0.2.1")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    times: dict[str, list[float]] = {"service": [], "hand": [], "open": []}
    # The first round is a warm-up.
    for number in range(rounds + 1):
        for route, measured in times.items():
            before = cpu_time(connection)
            for _ in range(REQUESTS):
                status, song = send(connection, "GET", f"/guards/{route}/1", headers=headers)
                if status != 200 or song["id"] != 1:
                    msg = f"Unexpected response of the route {route}: {status}, {song}."
                    raise RuntimeError(msg)
            if number:
                measured.append((cpu_time(connection) - before) / REQUESTS)
    ratio, to_open = (
        median(ours / theirs for ours, theirs in zip(times["service"], times[other], strict=True))
        for other in ("hand", "open")
    )
    shown = (f"{route} {median(measured) * 1e6:.0f} us" for route, measured in times.items())
    print(
        f"{database}: CPU of a request, protected by the {', '.join(shown)}; {to_open:.2f} of "
        f"open, {ratio:.2f} of by hand (limit {GUARD_LIMIT})"
    )
    return ratio / GUARD_LIMIT


def compare_logins(connection: HTTPConnection, rounds: int, database: str) -> float:
    """Print the time of logins that fail, and return the share of the limit."""
    times: dict[str, list[float]] = {"user": [], "nobody": []}
    statuses: Counter[int] = Counter()
    # The first round is a warm-up.
    for number in range(rounds + 1):
        for name, measured in times.items():
            # No account and no client has so many attempts that they are refused without a hash.
            started = time.perf_counter()
            status, _ = log_in(
                connection, f"{name}{number}@example.com", "wrong", client=f"198.51.100.{number}"
            )
            if number:
                measured.append(time.perf_counter() - started)
            statuses[status] += 1
    if set(statuses) != {401}:
        msg = f"{database}: logins were not answered with 401 alone: {dict(statuses)}."
        raise SystemExit(msg)
    user, nobody = map(median, times.values())
    print(
        f"{database}: login of a user {user * 1e3:.1f} ms, of an unknown address "
        f"{nobody * 1e3:.1f} ms, ratio {user / nobody:.2f} "
        f"(limits {1 / LOGIN_LIMIT} and {LOGIN_LIMIT})"
    )
    return max(user / nobody, nobody / user) / LOGIN_LIMIT


def log_in(connection: HTTPConnection, email: str, password: str, client: str) -> tuple[int, Any]:
    """Log in from the address of a client, and return the status and the response."""
    credentials = {"email": email, "password": password}
    # uvicorn trusts proxies on its own machine.
    headers = {"X-Forwarded-For": client}
    return send(connection, "POST", "/auth/login", credentials, headers)


def cpu_time(connection: HTTPConnection) -> float:
    """Return the seconds of CPU time that the service has used."""
    return float(send(connection, "GET", "/guards/cpu")[1])


def send(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: object = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Send a request with a body in JSON, and return the status and the response."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    response = connection.getresponse()
    content = response.read()
    return response.status, json.loads(content) if content else None


if __name__ == "__main__":
    main()
