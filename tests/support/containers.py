"""Real containers without Docker: images built by buildah, and run by podman, as root.

.ci/run installs the packages of Debian that this needs. Images that services use are imitated,
because no registry of images can be relied on: the Python image is a minimal Debian, and the
servers are those of this machine, with a script that understands the environment variables
that compose files set.
"""

import fcntl
import json
import os
import platform
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from support import programs
from support.programs import Finished

BASE = "docker.io/library/python:3.11-slim"
"""For the default answers; this one has Debian's Python, which is newer."""

PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Of the Python image."""

UV = "ghcr.io/astral-sh/uv:0.13"

CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
cgroups = "disabled"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[network]
network_backend = "netavark"
"""

STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""

# A mixed hierarchy of control groups confuses podman, so it does not see the newer one.
NAMESPACE = "umount /sys/fs/cgroup/unified 2>/dev/null; echo; exec sleep infinity"

LEFT_OUT = ("dev", "proc", "sys", "var/cache", "var/lib/apt", "usr/share/doc", "usr/share/man")

START = {
    "docker.io/library/postgres:18": """\
set -e
data=/var/lib/postgresql/18
bin=$(echo /usr/lib/postgresql/*/bin)
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
if [ ! -d $data ]; then
    install -d -o postgres /var/lib/postgresql /run/postgresql $data
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    as_postgres $bin/initdb --username="$POSTGRES_USER" --auth=scram-sha-256 \\
        --pwfile=/tmp/password --pgdata=$data > /dev/null
    echo "host all all all scram-sha-256" >> $data/pg_hba.conf
    # The image, too, creates the database with a server that does not listen.
    as_postgres $bin/pg_ctl --wait --pgdata=$data --options="-c listen_addresses=" start
    PGPASSWORD="$POSTGRES_PASSWORD" as_postgres $bin/createdb --username="$POSTGRES_USER" \\
        "${POSTGRES_DB:-$POSTGRES_USER}"
    as_postgres $bin/pg_ctl --wait --pgdata=$data stop
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups \\
    $bin/postgres -D $data -c "listen_addresses=*" -c fsync=off
""",
    "docker.io/library/mariadb:11.8": """\
set -e
cat > /usr/local/bin/healthcheck.sh <<END
#!/bin/sh
exec mariadb-admin --no-defaults --protocol=tcp --user=$MARIADB_USER \\
    --password=$MARIADB_PASSWORD status
END
chmod +x /usr/local/bin/healthcheck.sh
data=/var/lib/mysql
install -d -o mysql $data /run/mysqld
if [ ! -d $data/mysql ]; then
    mariadb-install-db --no-defaults --user=mysql --datadir=$data > /dev/null
    mariadbd --no-defaults --user=mysql --datadir=$data --bootstrap <<END
CREATE DATABASE $MARIADB_DATABASE;
FLUSH PRIVILEGES;
CREATE USER $MARIADB_USER IDENTIFIED BY '$MARIADB_PASSWORD';
GRANT ALL ON $MARIADB_DATABASE.* TO $MARIADB_USER;
DELETE FROM mysql.global_priv WHERE User = '';
END
fi
exec mariadbd --no-defaults --user=mysql --datadir=$data --skip-name-resolve
""",
    "docker.io/edoburu/pgbouncer:v1.25.2-p0": """\
set -e
printf '"%s" "%s"\\n' "$DB_USER" "$DB_PASSWORD" > /tmp/users
cat > /tmp/pgbouncer.ini <<END
[databases]
$DB_NAME = host=$DB_HOST port=5432 auth_user=$DB_USER
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 5432
unix_socket_dir =
auth_file = /tmp/users
auth_type = $AUTH_TYPE
pool_mode = $POOL_MODE
max_client_conn = $MAX_CLIENT_CONN
END
chmod a+r /tmp/users /tmp/pgbouncer.ini
exec setpriv --reuid=postgres --regid=postgres --clear-groups pgbouncer /tmp/pgbouncer.ini
""",
    "docker.io/library/adminer:5": """\
# Without the alternatives of Debian in /etc.
exec $(ls /usr/bin/php[0-9]* | head -n 1) -S 0.0.0.0:8080 /usr/share/adminer/adminer.php
""",
}
"""The start of each server, by image."""


def missing() -> str | None:
    """Return why containers cannot run here, in a sentence, or None."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "Containers need Linux and root: run the tests as root, as .ci/run does in CI."
    needed = (
        "podman",
        "buildah",
        "crun",
        "debootstrap",
        "iptables",
        "php",
        "pgbouncer",
        "mariadbd",
    )
    absent = [name for name in needed if shutil.which(name, path=_path()) is None]
    if absent:
        return f"Containers need {', '.join(absent)}: .ci/run installs the packages of Debian."
    return None


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Engine:
    """Images and containers in a folder of their own."""

    folder: Path
    namespace: int
    """The process whose mounts podman sees; the networks of running containers are among them."""

    @cached_property
    def _environment(self) -> dict[str, str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "containers.conf"
        storage = self.folder / "storage.conf"
        configuration.write_text(CONFIGURATION, encoding="utf-8")
        storage.write_text(STORAGE.format(folder=self.folder), encoding="utf-8")
        return programs.environment(
            PATH=_path(),
            CONTAINERS_CONF=str(configuration),
            CONTAINERS_STORAGE_CONF=str(storage),
        )

    def run(self, *command: str, cwd: Path | None = None, check: bool = True) -> Finished:
        """Run podman or buildah."""
        return programs.run(
            *("nsenter", f"--mount=/proc/{self.namespace}/ns/mnt", f"--wdns={cwd or self.folder}"),
            *command,
            cwd=self.folder,
            env=self._environment,
            check=check,
            timeout=600,
        )

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman, and return its standard output."""
        return self.run("podman", *arguments, check=check).stdout.strip()

    def prepare(self) -> None:
        """Make the images that services refer to, once for all processes of the run."""
        with self._locked():
            if not (self.folder / "prepared").exists():
                self._prepare()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of the run away."""
        with self.folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> None:
        root = self.folder / "debian"
        programs.run(
            *("debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-venv"),
            *("trixie", str(root), "http://deb.debian.org/debian"),
            cwd=self.folder.parent,
            env=self._environment,
            timeout=600,
        )
        # Of this machine, which can have more than Debian's.
        certificates = "etc/ssl/certs/ca-certificates.crt"
        shutil.copyfile(f"/{certificates}", root / certificates)
        for name in ("python", "python3"):
            (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        for name in LEFT_OUT:
            shutil.rmtree(root / name)
            (root / name).mkdir()
        self._import(BASE, root, "--change=ENV UV_SYSTEM_CERTS=1", f"--change=ENV PATH={PATH}")
        shutil.rmtree(root)
        only_uv = self.folder / "uv"
        only_uv.mkdir()
        shutil.copy(programs.uv(), only_uv / "uv")
        self._import(UV, only_uv)
        for image, script in START.items():
            self._import(image, self._server(script), '--change=CMD ["/bin/sh", "/start"]')
        (self.folder / "prepared").touch()

    def _server(self, script: str) -> Path:
        """Return an almost empty root folder: containers see this machine's `/usr`."""
        root = self.folder / f"server-{uuid4().hex[:8]}"
        for name in ("etc", "usr", "tmp", "run", "var/lib"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (root / name).symlink_to(f"usr/{name}")
        (root / "var/run").symlink_to("../run")
        (root / "tmp").chmod(0o1777)
        for name in ("passwd", "group"):
            shutil.copy(f"/etc/{name}", root / "etc" / name)
        (root / "start").write_text(script, encoding="utf-8")
        return root

    def _import(self, image: str, root: Path, *changes: str) -> None:
        archive = root.with_suffix(".tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".")
        self.podman("import", "--quiet", *changes, str(archive), image)
        archive.unlink()

    def build(self, context: Path, image: str, *options: str) -> None:
        """Build an image from a Dockerfile; one at a time, so that all find the same layers."""
        options += ("--format=docker", "--layers", "--pull=never", "--network=host")
        with self._locked():
            self.run("buildah", "build", *options, f"--tag={image}", ".", cwd=context)

    def image(self, name: str) -> dict[str, Any]:
        """Return the description of an image."""
        described: list[dict[str, Any]] = json.loads(self.podman("image", "inspect", name))
        return described[0]

    def bytes_in(self, name: str, folder: str) -> int:
        """Return the size of the files in a folder of an image."""
        options = ("--rm", "--no-healthcheck", "--network=none")
        return int(self.podman("run", *options, name, "du", "-sb", folder).split()[0])

    def layers(self, name: str) -> list[str]:
        """Return the digests of an image's layers, the lowest first."""
        layers: list[str] = self.image(name)["RootFS"]["Layers"]
        return layers


@contextmanager
def opened(folder: Path) -> Iterator[Engine]:
    """An engine whose images are prepared."""
    with subprocess.Popen(
        ["/usr/bin/unshare", "--mount", "sh", "-c", NAMESPACE], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout
            process.stdout.readline()  # it is ready
            engine = Engine(folder, process.pid)
            engine.prepare()
            yield engine
        finally:
            process.kill()


def qualified(image: str) -> str:
    """Return the full name of an image that is imitated, or the name of another one."""
    names = (f"docker.io/library/{image}", f"docker.io/{image}")
    return next((name for name in names if name in START), image)


@dataclass
class Stack:
    """The services of a compose file, as containers in a network of their own.

    podman-compose reads the file, but does not wait for health checks with this podman.
    """

    engine: Engine
    project: Path
    profiles: tuple[str, ...] = ()
    name: str = field(default_factory=lambda: f"stack-{uuid4().hex[:8]}")
    started: list[str] = field(default_factory=list)
    """The services in the order in which they were ready."""

    def configuration(self, *, check: bool = True) -> Finished:
        """Let podman-compose fill in and check the compose file."""
        profiles = [f"--profile={name}" for name in self.profiles]
        return self.engine.run("podman-compose", *profiles, "config", cwd=self.project, check=check)

    @cached_property
    def services(self) -> dict[str, dict[str, Any]]:
        """The services of the compose file."""
        services: dict[str, dict[str, Any]] = yaml.safe_load(self.configuration().stdout)[
            "services"
        ]
        return services

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self.name}-{service}"

    def databases(self) -> list[str]:
        """Return the name of the database's service, unless the database is a file."""
        return [name for name in self.services if name == "database"]

    def up(self, service: str) -> None:
        """Start a service after those that it depends on, and wait until it is healthy."""
        if service in self.started:
            return
        described = self.services[service]
        for other, condition in described.get("depends_on", {}).items():
            if other in self.services or condition.get("required", True):
                self.up(other)
                if condition["condition"] == "service_completed_successfully":
                    assert self.engine.podman("wait", self.container(other)) == "0", self.log(other)
        self.start(service)
        self._wait_until_healthy(service)
        self.started.append(service)

    def start(self, service: str) -> None:
        """Start the container of a service, in the background."""
        described = self.services[service]
        image = qualified(described["image"])
        options = [
            *(f"--env={name}={value}" for name, value in described.get("environment", {}).items()),
            *(f"--env-file={self.project / name}" for name in self._environment_files(described)),
            *(f"--volume={self.name}-{volume}" for volume in described.get("volumes", [])),
            *(f"--tmpfs={folder}" for folder in described.get("tmpfs", [])),
            *(f"--cap-drop={name}" for name in described.get("cap_drop", [])),
            *(
                f"--security-opt={each}".replace(":", "=")
                for each in described.get("security_opt", [])
            ),
        ]
        if described.get("read_only"):
            options += ["--read-only", "--read-only-tmpfs=false"]
        if image in START:
            options += ["--volume=/usr:/usr:ro", "--tmpfs=/usr/local/bin:exec,notmpcopyup"]
        self.engine.podman(
            *("run", "--detach", "--no-healthcheck", f"--name={self.container(service)}"),
            *(f"--network={self.name}", f"--network-alias={service}", "--pull=never"),
            *options,
            image,
            *described.get("command", []),
        )

    def _environment_files(self, described: Mapping[str, Any]) -> Iterator[str]:
        for each in described.get("env_file", []):
            path = each if isinstance(each, str) else each["path"]
            if (
                isinstance(each, str)
                or each.get("required", True)
                or (self.project / path).exists()
            ):
                yield path

    def _wait_until_healthy(self, service: str) -> None:
        """Wait for the health check of the compose file or of the image, if there is one."""
        described = self.services[service]
        if "command" in described:  # a job
            return
        of_image = self.engine.image(qualified(described["image"])).get("Healthcheck") or {}
        _, *check = described.get("healthcheck", {}).get("test") or of_image.get("Test") or ["NONE"]
        if not check:
            return
        deadline = time.monotonic() + 60
        container = self.container(service)
        while self.engine.run("podman", "exec", container, *check, check=False).exit_code:
            assert time.monotonic() < deadline, self.log(service)
            time.sleep(0.2)

    def wait_for_port(self, service: str, port: int) -> None:
        """Wait until a service without a health check accepts connections."""
        deadline = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection((self.address(service), port)):
                    return
            except OSError:
                assert time.monotonic() < deadline, self.log(service)
                time.sleep(0.1)

    def page(self, service: str, port: int, path: str = "/", data: object = None) -> bytes:
        """Send a request to a container, and return the body of the answer."""
        request = urllib.request.Request(
            f"http://{self.address(service)}:{port}{path}",
            data=None if data is None else json.dumps(data).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            body: bytes = response.read()
            return body

    def replace(self, service: str) -> None:
        """Start a service again, from its newest image."""
        self.engine.podman("rm", "--force", "--time=30", self.container(service))
        self.start(service)
        self._wait_until_healthy(service)

    def address(self, service: str) -> str:
        """Return the IP address of a service's container."""
        networks = json.loads(
            self.engine.podman(
                "inspect", "--format={{json .NetworkSettings.Networks}}", self.container(service)
            )
        )
        return str(networks[self.name]["IPAddress"])

    def log(self, service: str) -> str:
        """Return what a service has written."""
        finished = self.engine.run("podman", "logs", self.container(service), check=False)
        return finished.output


@contextmanager
def stack(engine: Engine, project: Path, *profiles: str) -> Iterator[Stack]:
    """A stack whose containers, volumes and network are removed at the end."""
    made = Stack(engine, project, profiles)
    engine.podman("network", "create", made.name)
    try:
        yield made
    finally:
        names = [made.container(service) for service in made.services]
        engine.podman("rm", "--force", "--time=0", "--volumes", "--ignore", *names)
        volumes = engine.podman("volume", "ls", "--quiet", f"--filter=name={made.name}").split()
        if volumes:
            engine.podman("volume", "rm", *volumes)
        engine.podman("network", "rm", "--force", made.name)
