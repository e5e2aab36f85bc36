"""PgBouncer in front of a database server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from support import programs

CONFIGURATION = """\
[databases]
* = host={host} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""


def find_pgbouncer() -> str | None:
    """Return the path of PgBouncer, if it is installed."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def pgbouncer(program: str, database: str) -> Iterator[str]:
    """Run PgBouncer in front of a database on a Unix socket, and yield its URL."""
    parts = urlsplit(database)
    port = programs.free_port()
    with TemporaryDirectory() as folder:
        configuration = Path(folder, "pgbouncer.ini")
        host = parse_qs(parts.query)["host"][0]
        configuration.write_text(CONFIGURATION.format(host=host, port=port), encoding="utf-8")
        # PgBouncer refuses to run as root; the server's user can access the socket.
        Path(folder).chmod(0o755)
        process = subprocess.Popen(
            [program, "--quiet", configuration],
            env=programs.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=Path(host).stat().st_uid,
        )
        try:
            programs.wait_for_port(process, port)
            yield parts._replace(netloc=f"postgres:any@127.0.0.1:{port}", query="").geturl()
        finally:
            process.terminate()
            process.wait()
