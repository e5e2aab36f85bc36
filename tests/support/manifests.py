"""Builds the manifests of Kubernetes, and checks them by schemas and by rules of our own."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from support import programs

FOLDER = Path("deploy", "kubernetes")
READY_TIMEOUT = 3
"""Seconds that `/health/ready` waits for the database."""
LAST_TELEMETRY = 10
"""Seconds for sending what was collected, after the last request."""

PROXY_KEEP_ALIVE = 60
"""Seconds for which proxies keep idle connections, such as nginx and AWS's load balancer."""
CONNECTIONS = 100
"""The default limit of PostgreSQL, the lowest of all databases."""

Manifest = dict[str, Any]


def build(folder: Path) -> list[Manifest]:
    """Return the manifests of a kustomization."""
    kubectl = str(Path(sys.prefix, "bin", "kubectl"))
    return list(yaml.safe_load_all(programs.run(kubectl, "kustomize", ".", cwd=folder).stdout))


def kustomizations(project: Path) -> dict[str, Path]:
    """Return the folders that are applied, by name."""
    folders = [file.parent for file in (project / FOLDER).rglob("kustomization.yaml")]
    return {folder.name: folder for folder in sorted(folders) if folder.name != "base"}


def faults(project: Path) -> list[str]:
    """Return what is wrong in the manifests of a project."""
    built = {name: build(folder) for name, folder in kustomizations(project).items()}
    found = [
        f"{name}: {fault}"
        for name, manifests in built.items()
        for check in (_invalid, _misnamed, _unsafe, _unreliable)
        for fault in check(manifests)
    ]
    found += [f"all: {fault}" for fault in _unrelated(built)]
    return [*found, *_unused(project)]


def _invalid(manifests: list[Manifest]) -> Iterator[str]:
    """Check schemas; an unknown kind would only be a warning of the command."""
    for manifest in manifests:
        try:
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), True)
        except kubernetes_validate.ValidationError as error:
            yield f"{manifest['kind']} {'.'.join(map(str, error.path))}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield error.message


def _of(kind: str, manifests: list[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def _pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the pod templates."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["spec"]["template"]


def _containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    for pod in _pods(manifests):
        yield from pod["spec"].get("initContainers", [])
        yield from pod["spec"]["containers"]


def _matches(selector: Manifest, pod: Manifest) -> bool:
    labels = pod["metadata"]["labels"]
    return bool(selector.items() <= labels.items())


def _misnamed(manifests: list[Manifest]) -> Iterator[str]:
    """Check references by name, which the schemas do not know."""
    names = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    pods = list(_pods(manifests))
    for pod in pods:
        spec = pod["spec"]
        account = spec.get("serviceAccountName")
        if account and ("ServiceAccount", account) not in names:
            yield f"There is no ServiceAccount {account}."
        for volume in spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and ("PersistentVolumeClaim", claim) not in names:
                yield f"There is no PersistentVolumeClaim {claim}."
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            yield from (f"There is no volume {name}." for name in mounted - volumes)
            for source in container.get("envFrom", []):
                name = source.get("configMapRef", {}).get("name")
                if name and ("ConfigMap", name) not in names:
                    yield f"There is no ConfigMap {name}."
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port", "http")
                if probe in container and port not in ports:
                    yield f"{probe} uses an unknown port."
    selectors: dict[str, Callable[[Manifest], Manifest]] = {
        "Service": lambda spec: spec["selector"],
        "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        "Deployment": lambda spec: spec["selector"]["matchLabels"],
    }
    ports = {port["name"] for each in _containers(manifests) for port in each.get("ports", [])}
    for kind, selector in selectors.items():
        for manifest in _of(kind, manifests):
            if not any(_matches(selector(manifest["spec"]), pod) for pod in pods):
                yield f"{kind} selects no pod."
    for service in _of("Service", manifests):
        if {port.get("targetPort") for port in service["spec"]["ports"]} - ports:
            yield "Service uses an unknown port."
    for policy in _of("NetworkPolicy", manifests):
        rules = policy["spec"].get("ingress", [])
        if {port["port"] for rule in rules for port in rule.get("ports", [])} != {"http"}:
            yield "NetworkPolicy must allow the port of the service, and no other."
    for scaler in _of("HorizontalPodAutoscaler", manifests):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in names:
            yield "HorizontalPodAutoscaler scales nothing."


def _unsafe(manifests: list[Manifest]) -> Iterator[str]:
    """Check the restricted security standard, and that no secret is in a file."""
    if _of("Secret", manifests):
        yield "A Secret is in the files."
    for each in _of("ConfigMap", manifests):
        for name in each["data"]:
            if re.search("SECRET|PASSWORD|TOKEN|DSN|DATABASE_URL", name):
                yield f"{name} is a secret."
    for pod in _pods(manifests):
        spec = pod["spec"]
        context = spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield "A pod can run as root."
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield "A pod has no seccomp profile."
        if spec.get("automountServiceAccountToken") is not False:
            yield "A pod has a token for the API of the cluster."
    for container in _containers(manifests):
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False:
            yield "A container can gain privileges."
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield "A container has capabilities."
        if not context.get("readOnlyRootFilesystem"):
            yield "A container can write to its image."
        for variable in container.get("env", []):
            value = variable.get("value", "")
            if re.search("SECRET|PASSWORD|TOKEN", variable["name"]) or "@" in value:
                yield f"{variable['name']} is a secret."


def _unreliable(manifests: list[Manifest]) -> Iterator[str]:
    """Check rollouts, probes and limits."""
    settings = {
        name: value for each in _of("ConfigMap", manifests) for name, value in each["data"].items()
    }
    for container in _containers(manifests):
        resources = container.get("resources", {})
        if "memory" not in resources.get("limits", {}) or "cpu" not in resources.get(
            "requests", {}
        ):
            yield "A container needs requests and a limit of memory."
        if not container["image"].endswith(":__VERSION__"):
            yield f"The image {container['image']} has no version."
    for deployment in _of("Deployment", manifests):
        spec, pod = deployment["spec"], deployment["spec"]["template"]["spec"]
        (web,) = pod["containers"]
        probes = {
            name: web.get(f"{name}Probe", {}).get("httpGet", {}).get("path")
            for name in ("startup", "liveness", "readiness")
        }
        expected = {
            "startup": "/health/live",
            "liveness": "/health/live",
            "readiness": "/health/ready",
        }
        if probes != expected:
            yield f"The probes are {probes}."
        elif web["readinessProbe"].get("timeoutSeconds", 1) <= READY_TIMEOUT:
            yield "The readiness probe does not wait for its answer."
        stop = sum(int(settings.get(name, 30)) for name in ("DRAIN_TIMEOUT", "SHUTDOWN_TIMEOUT"))
        if pod.get("terminationGracePeriodSeconds", 30) < stop + LAST_TELEMETRY:
            yield "A pod is killed before its requests are finished."
        if int(settings.get("KEEP_ALIVE_TIMEOUT", 5)) <= PROXY_KEEP_ALIVE:
            yield "A proxy can send a request on a connection that the pod closes."
        files = any("persistentVolumeClaim" in volume for volume in pod.get("volumes", []))
        scalers = _of("HorizontalPodAutoscaler", manifests)
        if files:
            if spec.get("strategy") != {"type": "Recreate"} or spec.get("replicas") != 1 or scalers:
                yield "Several pods can use the file."
            continue
        update = spec.get("strategy", {}).get("rollingUpdate", {})
        if update != {"maxSurge": 1, "maxUnavailable": 0} or not spec.get("minReadySeconds"):
            yield "A rollout can fail requests."
        if "replicas" in spec:
            yield "Deployment and autoscaler both set the number of replicas."
        (scaler,) = scalers
        pods = scaler["spec"]["maxReplicas"] + 1
        if pods * (2 * int(settings.get("DATABASE_POOL_SIZE", 10)) + 1) > CONNECTIONS:
            yield "All pods together open more connections than the database allows."
        budgets = _of("PodDisruptionBudget", manifests)
        for budget in (each["spec"] for each in budgets):
            if budget.get("maxUnavailable") != 1 or "minAvailable" in budget:
                yield "PodDisruptionBudget can block the drain of a node."
            if budget.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
                yield "Pods that are not ready block the drain of a node."
        if not budgets:
            yield "There is no PodDisruptionBudget."
    hosts = settings.get("ALLOWED_HOSTS", "").split(",")
    for service in _of("Service", manifests):
        name, space = service["metadata"]["name"], service["metadata"]["namespace"]
        if any(hosts) and not {name, f"{name}.{space}"} <= set(hosts):
            yield "The service refuses requests from the cluster."
    for job in _of("Job", manifests):
        if not job["metadata"]["name"].endswith("-__VERSION__"):
            yield "The job of a version cannot be created after that of another."
        if job["spec"]["template"]["spec"].get("restartPolicy") != "Never":
            yield "The logs of a failed migration are lost."


def _unrelated(built: dict[str, list[Manifest]]) -> Iterator[str]:
    """Check what concerns several kustomizations."""
    jobs = [pod for manifests in built.values() for pod in _pods(_of("Job", manifests))]
    images = {each["image"] for manifests in built.values() for each in _containers(manifests)}
    if len(images) != 1:
        yield f"The images differ: {images}."
    for manifests in built.values():
        for kind in ("Service", "PodDisruptionBudget"):
            for manifest in _of(kind, manifests):
                selector = manifest["spec"]["selector"]
                selector = selector.get("matchLabels", selector)
                if any(_matches(selector, job) for job in jobs):
                    yield f"{kind} selects the pod of the job."
    spaces = {
        each["metadata"].get("namespace")
        for name, manifests in built.items()
        if name != "migrate"
        for each in manifests
    }
    if len(spaces) != 2 or None in spaces:
        yield f"The overlays are in the namespaces {spaces}."


def _unused(project: Path) -> Iterator[str]:
    """Check that each file is a resource; kustomize is also silent about patches of nothing."""
    for file in (project / FOLDER).rglob("kustomization.yaml"):
        text = yaml.safe_load(file.read_text(encoding="utf-8"))
        there = {each.name for each in file.parent.glob("*.yaml")} - {file.name}
        listed = {each for each in text["resources"] if each.endswith(".yaml")}
        if there != listed:
            yield f"{file.parent.name} lists {listed}, but has {there}."
        for patch in text.get("patches", []):
            kinds = {each["kind"] for each in build(file.parent)}
            if patch["target"]["kind"] not in kinds:
                yield f"{file.parent.name} patches nothing."
