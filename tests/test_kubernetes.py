"""The manifests of Kubernetes are sound, and the documented commands apply them in order."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support import programs
from support.manifests import FOLDER, build, faults, kustomizations
from support.projects import DEPLOYMENT_MANUAL
from support.questions import Combination, behavioural_product
from support.rendering import Renders, git
from support.root import Answer

KUBERNETES: dict[str, Answer] = {"deploy": "kubernetes"}
COMBINATIONS = [
    Combination(each.behaviour, {**KUBERNETES, "container": container})
    for each in behavioural_product()
    for container in (True, False)
    if each.behaviour["example"]
]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=Combination.full_name)
def test_manifests_are_sound(
    combination: Combination, rendered: Callable[[Combination], Path]
) -> None:
    """The schemas accept them, and so do rules about what schemas do not know."""
    project = rendered(combination)

    assert faults(project) == []
    jobs = {"migrate"} if combination.database != "sqlite" else set()
    assert kustomizations(project).keys() == {"staging", "production"} | jobs


def test_none_renders_nothing(render: Renders) -> None:
    """Without the option, there is no folder."""
    assert not (render({"deploy": "none"}) / "deploy").exists()


def test_file_of_secrets_is_ignored_by_git(render: Renders, tmp_path: Path) -> None:
    """The manual names it; the example is not ignored."""
    project = shutil.copytree(
        render({**KUBERNETES, "database": "postgresql"}), tmp_path / "service"
    )
    manual = (project / DEPLOYMENT_MANUAL).read_text(encoding="utf-8")
    (name,) = set(re.findall(r"--from-env-file (\S+)", manual))
    (project / name).touch()
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    listed = git(project, "ls-files").split()

    assert name not in listed
    assert ".env.example" in listed


DEPLOYMENT = "base/deployment.yaml"
BASE = "base/kustomization.yaml"

FAULTS: dict[str, tuple[str, str, str, str, str]] = {
    # database, file, old, new, who finds it
    "unknown field": ("postgresql", DEPLOYMENT, "minReadySeconds: 5", "minReady: 5", "minReady"),
    "wrong type": ("postgresql", DEPLOYMENT, "containerPort: 8000", "containerPort: http", "Port"),
    "unknown kind": ("postgresql", "base/service.yaml", "kind: Service", "kind: Servce", "schema"),
    "old API": ("postgresql", "base/autoscaler.yaml", "autoscaling/v2", "autoscaling/v9", "schema"),
    "selector of the service": (
        *("postgresql", "base/service.yaml", "component: web", "component: wbe"),
        "Service selects no pod",
    ),
    "service selects the job": (
        *("postgresql", "base/service.yaml", "    app.kubernetes.io/component: web\n", ""),
        "Service selects the pod of the job",
    ),
    "budget selects the job": (
        *("mysql", "base/disruption-budget.yaml", "      app.kubernetes.io/component: web\n", ""),
        "PodDisruptionBudget selects the pod of the job",
    ),
    "port of the service": (
        *("postgresql", "base/service.yaml", "targetPort: http", "targetPort: web"),
        "Service uses an unknown port",
    ),
    "port of a probe": (
        *("postgresql", DEPLOYMENT, "path: /health/ready\n              port: http"),
        *("path: /health/ready\n              port: web", "readinessProbe uses an unknown port"),
    ),
    "port of the policy": (
        *("postgresql", "base/network-policy.yaml", "port: http", "port: https"),
        "NetworkPolicy must allow",
    ),
    "liveness asks the database": (
        *(
            "postgresql",
            DEPLOYMENT,
            "livenessProbe:\n            httpGet:\n              path: /health/live",
        ),
        *(
            "livenessProbe:\n            httpGet:\n              path: /health/ready",
            "The probes are",
        ),
    ),
    "no startup probe": ("postgresql", DEPLOYMENT, "startupProbe", "lifecycle", "The probes are"),
    "impatient probe": (
        *("postgresql", DEPLOYMENT, "timeoutSeconds: 4", "timeoutSeconds: 2"),
        "does not wait",
    ),
    "short grace period": (
        *("postgresql", DEPLOYMENT, "PeriodSeconds: 60", "PeriodSeconds: 45"),
        "killed before",
    ),
    "long shutdown": (
        *("sqlite", BASE, "SHUTDOWN_TIMEOUT=30", "SHUTDOWN_TIMEOUT=60"),
        "killed before",
    ),
    "connections closed before the proxy's": (
        *("postgresql", BASE, "KEEP_ALIVE_TIMEOUT=75", "KEEP_ALIVE_TIMEOUT=60"),
        "connection that the pod closes",
    ),
    "hosts in the cluster": (
        *("mysql", "overlays/staging/kustomization.yaml", ",my-service.my-service-staging", ""),
        "refuses requests from the cluster",
    ),
    "unavailable pods": (
        *("mysql", DEPLOYMENT, "maxUnavailable: 0", "maxUnavailable: 1"),
        "can fail requests",
    ),
    "fixed replicas": (
        *("postgresql", DEPLOYMENT, "minReadySeconds: 5", "minReadySeconds: 5\n  replicas: 2"),
        "both set the number",
    ),
    "two pods with one file": (
        *("sqlite", DEPLOYMENT, "type: Recreate", "type: RollingUpdate"),
        "Several pods can use",
    ),
    "many connections": (
        *("postgresql", "base/autoscaler.yaml", "maxReplicas: 6", "maxReplicas: 20"),
        "more connections",
    ),
    "scaler of another name": (
        *("postgresql", "base/autoscaler.yaml", "    name: my-service", "    name: service"),
        "scales nothing",
    ),
    "budget that blocks": (
        *("postgresql", "base/disruption-budget.yaml", "maxUnavailable: 1", "minAvailable: 2"),
        "can block the drain",
    ),
    "unhealthy pods block": (
        *("postgresql", "base/disruption-budget.yaml", "AlwaysAllow", "IfHealthyBudget"),
        "not ready block",
    ),
    "root": ("sqlite", DEPLOYMENT, "runAsNonRoot: true", "runAsNonRoot: false", "run as root"),
    "privileges": (
        *("postgresql", "migrate/job.yaml", "Escalation: false", "Escalation: true"),
        "gain privileges",
    ),
    "capabilities": ("mysql", DEPLOYMENT, '["ALL"]', '["NET_RAW"]', "has capabilities"),
    "writable image": (
        *("postgresql", DEPLOYMENT, "Filesystem: true", "Filesystem: false"),
        "write to its image",
    ),
    "seccomp": ("postgresql", DEPLOYMENT, "RuntimeDefault", "Unconfined", "no seccomp"),
    "token": ("postgresql", DEPLOYMENT, "Token: false", "Token: true", "token for the API"),
    "no limit of memory": (
        *("postgresql", "migrate/job.yaml", "            limits:\n              memory: 512Mi\n"),
        *("", "limit of memory"),
    ),
    "secret in a file": (
        *("postgresql", BASE, "LOG_FORMAT=json", "TOKEN_SECRET=x"),
        "TOKEN_SECRET is a secret",
    ),
    "unknown account": (
        *("postgresql", DEPLOYMENT, "AccountName: my-service", "AccountName: service"),
        "no ServiceAccount",
    ),
    "unknown map": (
        *("postgresql", DEPLOYMENT, "configMapRef:\n                name: my-service"),
        *("configMapRef:\n                name: service", "no ConfigMap"),
    ),
    "unknown claim": (
        *("sqlite", DEPLOYMENT, "claimName: my-service", "claimName: data"),
        "no PersistentVolumeClaim",
    ),
    "unknown volume": (
        *("sqlite", DEPLOYMENT, "      volumes:\n        - name: data"),
        *("      volumes:\n        - name: disk", "no volume data"),
    ),
    "fixed job": (
        *("postgresql", "migrate/kustomization.yaml", "nameSuffix: -__VERSION__\n", ""),
        "job of a version",
    ),
    "fixed image": (
        *("postgresql", BASE, "newTag: __VERSION__", "newTag: latest"),
        "has no version",
    ),
    "another image": (
        *("postgresql", "migrate/kustomization.yaml", "registry.example.com", "example.com"),
        "The images differ",
    ),
    "lost logs": (
        *("postgresql", "migrate/job.yaml", "restartPolicy: Never", "restartPolicy: OnFailure"),
        "logs of a failed migration",
    ),
    "forgotten file": ("postgresql", BASE, "  - network-policy.yaml\n", "", "base lists"),
    "patch of nothing": (
        *("postgresql", "overlays/staging/kustomization.yaml", "HorizontalPodAutoscaler"),
        *("StatefulSet", "patches nothing"),
    ),
    "one namespace": (
        *("mysql", "overlays/staging/kustomization.yaml", "my-service-staging"),
        *("my-service-production", "in the namespaces"),
    ),
}
"""Faults that an edit could introduce, and the words that report each of them."""


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name: str, render: Renders, tmp_path: Path) -> None:
    """Each is reported by a schema or by a rule of our own."""
    database, file, old, new, words = FAULTS[name]
    project = shutil.copytree(render({**KUBERNETES, "database": database}), tmp_path / "service")
    path = project / FOLDER / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")

    assert words in "\n".join(faults(project))


KUBECTL = f"""#!{sys.executable}
import os, pathlib, subprocess, sys

arguments = sys.argv[1:]
if arguments[0] == "kustomize":
    kubectl = {str(Path(sys.prefix, "bin", "kubectl"))!r}
    sys.exit(subprocess.run([kubectl, *arguments]).returncode)
applied = sys.stdin.read() if arguments[0] == "apply" else ""
with pathlib.Path(os.environ["LOG"]).open("a") as log:
    print(*arguments, file=log)
    print(applied, file=log)
sys.exit(arguments[0] == os.environ.get("FAILS"))
"""
"""Builds with the real kubectl, and logs what a cluster would be asked to do."""


def play(project: Path, folder: Path, **env: str) -> list[str]:
    """Run the documented commands of a deployment, and return those that reach the cluster."""
    manual = (project / DEPLOYMENT_MANUAL).read_text(encoding="utf-8")
    section = manual.partition("## Kubernetes\n")[2].partition("\n## ")[0]
    _, script = re.findall("```sh\n(.*?)```", section, re.DOTALL)
    (folder / "kubectl").write_text(KUBECTL, encoding="utf-8")
    (folder / "kubectl").chmod(0o755)
    environment = programs.environment(LOG=str(folder / "log"), **env)
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    programs.run("bash", "-c", script, cwd=project, env=environment, check=False)
    return (folder / "log").read_text(encoding="utf-8").splitlines()


def test_database_is_migrated_first(render: Renders, tmp_path: Path) -> None:
    """The commands of the manual apply the job, wait for it, and then apply the rest."""
    project = render({**KUBERNETES, "database": "postgresql"})

    log = play(project, tmp_path)

    calls = [line for line in log if line.startswith(("apply", "wait", "rollout"))]
    space = "--namespace my-service-production"
    ended = "jsonpath={.status.conditions[0].type}"
    assert calls == [
        f"apply {space} --filename -",
        f"wait job/migrate-1.4.0 {space} --for {ended} --timeout 15m",
        f"wait job/migrate-1.4.0 {space} --for condition=complete --timeout 30s",
        "apply --filename -",
        f"rollout status deployment/my-service {space} --timeout 15m",
    ]
    assert "__VERSION__" not in "\n".join(log)
    parts = re.split("^(?:apply|wait|rollout) .*$", "\n".join(log), flags=re.MULTILINE)
    migration, service = [list(yaml.safe_load_all(part)) for part in parts if part.strip()]
    assert [each["kind"] for each in migration] == ["Job"]
    assert migration[0]["metadata"]["name"] == "migrate-1.4.0"
    expected = [each["kind"] for each in build(project / FOLDER / "overlays" / "production")]
    assert [each["kind"] for each in service] == expected


def test_failed_migration_stops_the_deployment(render: Renders, tmp_path: Path) -> None:
    """The version that runs continues to serve."""
    project = render({**KUBERNETES, "database": "mysql"})

    log = play(project, tmp_path, FAILS="wait")

    assert len([line for line in log if line.startswith("apply")]) == 1
    assert "kind: Deployment" not in log


def test_single_pod_migrates_before_it_serves(render: Renders, tmp_path: Path) -> None:
    """A database in a file is migrated by an init container, because no other pod can open it."""
    project = render({**KUBERNETES, "database": "sqlite"})

    log = play(project, tmp_path)

    assert [line for line in log if line.startswith(("apply", "wait"))] == ["apply --filename -"]
    (deployment,) = [
        each
        for each in build(project / FOLDER / "overlays" / "production")
        if each["kind"] == "Deployment"
    ]
    spec = deployment["spec"]["template"]["spec"]
    (migrate,), (web,) = spec["initContainers"], spec["containers"]
    assert migrate["command"][1:] == ["db", "upgrade"]
    assert migrate["env"] == web["env"]
    assert migrate["image"] == web["image"]
