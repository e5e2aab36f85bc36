"""Compare reading a row by its primary key through the service and through a minimal handler."""

import asyncio
import json
import time
import urllib.request
from statistics import median

import measuring
from support.databases import serve
from support.projects import Project

LIMITS = {"sqlite": 0.85, "postgresql": 0.95, "mysql": 0.95}
DATABASES = tuple(LIMITS)
SONGS = 500
POOL_SIZE = "40"
"""Pool size of both applications. A smaller pool would keep opening connections, which costs more
than the difference to measure."""


def main() -> None:
    """Measure on each database."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.25, help="duration of each round")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()

    shares = []
    with measuring.template() as (template, folder):
        for database in measuring.chosen(options.database, DATABASES):
            project = measuring.make_project(template, folder / database, database)
            with measuring.on_core(measuring.CLIENT):
                rates = compare(project, options.rounds, options.seconds, options.connections)
            ours, minimal = (median(rate) for rate in rates)
            # Adjacent rounds share the same background load.
            ratio = median(a / b for a, b in zip(*rates, strict=True))
            shares.append(ratio / LIMITS[database])
            print(
                f"{database}: generated service {ours:.0f} requests/s, minimal handler "
                f"{minimal:.0f} requests/s, ratio {ratio:.2f} (limit {LIMITS[database]})"
            )
    measuring.conclude(shares, 1, min)


def compare(
    project: Project, rounds: int, seconds: float, connections: int
) -> tuple[list[float], list[float]]:
    """Return the requests per second of the service and of the minimal handler."""
    with serve(project) as server:
        env = {"DATABASE_URL": server.create(), "DATABASE_POOL_SIZE": POOL_SIZE}
        project.uv_run(project.slug, "db", "upgrade", env=env)
        with (
            measuring.running(project, "app.asgi:app", project.path, env) as ours,
            measuring.running(project, "minimal:app", measuring.RENDERED, env) as minimal,
        ):
            for number in range(1, SONGS + 1):
                add_song(ours, number)
            rates: tuple[list[float], list[float]] = ([], [])
            # The first round is a warm-up: it fills caches and opens connections.
            for number in range(rounds + 1):
                for port, measured in zip((ours, minimal), rates, strict=True):
                    rate = asyncio.run(load(port, seconds, connections))
                    if number:
                        measured.append(rate)
    return rates


def add_song(port: int, number: int) -> None:
    """Create a song; the first song's id is 1."""
    song = {"title": f"Song {number}", "artist": "Somebody", "released_on": "2020-10-01"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/songs",
        data=json.dumps(song).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - always HTTP


async def load(port: int, seconds: float, connections: int) -> float:
    """Keep `connections` busy for `seconds`; return the requests per second."""
    started = time.perf_counter()
    counts = await asyncio.gather(
        *(read_songs(port, started + seconds, first) for first in range(connections))
    )
    return sum(counts) / (time.perf_counter() - started)


async def read_songs(port: int, end: float, first: int) -> int:
    """Read songs in sequence on one connection; return the number of reads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.perf_counter() < end:
        song_id = (first * 31 + count) % SONGS + 1
        writer.write(f"GET /songs/{song_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(None, 1)[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"http/1.1 200") or json.loads(body)["id"] != song_id:
            msg = f"Unexpected response for song {song_id}: {head!r} {body!r}."
            raise RuntimeError(msg)
        count += 1
    writer.close()
    await writer.wait_closed()
    return count


if __name__ == "__main__":
    main()
