"""The replicas: a Deployment of engines, the volume with the weights, and what stops one gently."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePosixPath

from stoker.deploy.kubernetes import pod_parts
from stoker.deploy.kubernetes.manifest import Because, ChartValue, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.site import Site

_GIB = 1024**3
#: An endpoint that is taken away is known everywhere well within this time.
_SETTLE_S = 10
_PROBE_S = 10
_DRAIN_FOLDER = "/stoker-drain"
#: Downloads leave what they replace for a while, and other revisions.
_ROOM_FOR_WEIGHTS = 1.5
_LEAST_VOLUME_GIB = 20
#: A GPU's worker holds its libraries, pinned buffers and the part of the weights that it loads.
_HOST_GIB_PER_GPU = 16


def engine_manifest(site: Site) -> ManifestFile:
    """The objects of the replicas."""
    names = Names(site)
    labels, selector = names.labels("engine"), names.selector("engine")
    objects = [
        _files(site, names),
        *(_claims(site, names)),
        _deployment(site, names),
        pod_parts.service(names.engine, labels, {"http": site.engine.port}),
        pod_parts.disruption_budget(names.engine, labels, selector),
    ]
    return ManifestFile(
        "engine", f"The replicas: {site.plan.engine} with {site.plan.model.id}.", tuple(objects)
    )


def claimed_folders(site: Site) -> bool:
    """Whether the weights are fetched from the hub into a volume that all replicas share."""
    return site.engine.model_folder is None


def _texts(site: Site) -> dict[str, str]:
    """Every small file of the replicas, by its name."""
    drain = files("stoker.deploy.kubernetes") / "in_pod" / "drain.py"
    given = {PurePosixPath(path).name: text for path, text in site.engine.files}
    return {**given, "drain.py": drain.read_text(encoding="utf-8")}


def _files(site: Site, names: Names) -> Mapping[str, Node]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": pod_parts.metadata(names.engine, names.labels("engine")),
        "data": dict(_texts(site)),
    }


def _claims(site: Site, names: Names) -> list[Mapping[str, Node]]:
    if not claimed_folders(site):
        return []
    devices = max(1, site.plan.gpus)
    needed = site.plan.memory.weights_bytes * devices * _ROOM_FOR_WEIGHTS
    size = max(_LEAST_VOLUME_GIB, math.ceil(needed / _GIB))
    spec: dict[str, Node] = {
        "accessModes": Because(
            ["ReadWriteMany"],
            "All replicas read the weights from it, on whatever node: they are downloaded once. It "
            "needs a class of storage that can do this, such as NFS or CephFS.",
        ),
        "resources": {
            "requests": {
                "storage": ChartValue(
                    "engine.models.size", f"{size}Gi", "The weights, and half as much again."
                )
            }
        },
    }
    if site.request.cluster.storage_class:
        spec["storageClassName"] = ChartValue(
            "engine.models.storageClass",
            site.request.cluster.storage_class,
            "A class with ReadWriteMany.",
        )
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": pod_parts.metadata(names.models, names.labels("engine")),
            "spec": spec,
        }
    ]


def _deployment(site: Site, names: Names) -> Mapping[str, Node]:
    spec: dict[str, Node] = {}
    if site.request.cluster.max_replicas is None:
        spec["replicas"] = ChartValue(
            "engine.replicas", site.request.replicas, "Servers that run the plan."
        )
    spec |= {
        "progressDeadlineSeconds": Because(
            site.engine.first_start_s + 600,
            "A rollout is not called failed while the first start still downloads.",
        ),
        "strategy": pod_parts.rolling_update(
            "A new replica answers before an old one is stopped, so no request is lost. That takes "
            "the GPUs of one more replica while it lasts; without them, set maxSurge to 0 and "
            "maxUnavailable to 1."
        ),
        "selector": {"matchLabels": names.selector("engine")},
        "template": _pod(site, names),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": pod_parts.metadata(names.engine, names.labels("engine")),
        "spec": spec,
    }


def _pod(site: Site, names: Names) -> Mapping[str, Node]:
    digest = hashlib.sha256("\0".join(_texts(site).values()).encode()).hexdigest()[:16]
    spec = pod_parts.pod_basics(
        site.engine.stop_s + _SETTLE_S,
        "Answers under way have this long to end, as long as the gateway waits for a silent one.",
    )
    spec["securityContext"] = {"seccompProfile": {"type": "RuntimeDefault"}}
    spec["topologySpreadConstraints"] = pod_parts.spread(names.selector("engine"))
    if site.plan.gpus:
        spec["tolerations"] = Because(
            [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "Nodes with GPUs are often tainted, so that only what needs them goes there.",
        )
    spec["containers"] = [_container(site, names)]
    spec["volumes"] = _volumes(site, names)
    annotations: dict[str, Node] = {
        "stoker/files": Because(digest, "A changed file of the ConfigMap starts new pods.")
    }
    return {
        "metadata": {"labels": names.labels("engine"), "annotations": annotations},
        "spec": spec,
    }


def _container(site: Site, names: Names) -> Mapping[str, Node]:
    engine = site.engine
    return {
        "name": "engine",
        "image": ChartValue(
            "engine.image", engine.image, "Name it by digest to run the same bytes."
        ),
        "args": _arguments(site),
        "env": _environment(site, names),
        "ports": [{"name": "http", "containerPort": engine.port}],
        "resources": _resources(site),
        **_probes(site),
        "lifecycle": {"preStop": {"exec": {"command": _drain(site)}}},
        "securityContext": Because(
            pod_parts.no_privileges(read_only=False),
            "The image's user is root: it has no capability left, and can gain none.",
        ),
        "volumeMounts": _mounts(site),
    }


def _arguments(site: Site) -> Node:
    """Each flag with its reason. A flag and its value are two entries of the list."""
    reasons = {f"--{argument.name}": argument.reason for argument in site.engine.arguments}
    reasons |= {f"--no-{argument.name}": argument.reason for argument in site.engine.arguments}
    return [
        Because(part, reasons[part]) if part in reasons else part for part in site.engine.command
    ]


def _environment(site: Site, names: Names) -> Node:
    engine = site.engine
    variables: list[Node] = [
        {"name": Because(shown.name, shown.reason), "value": str(shown.value)}
        for shown in engine.env
    ]
    if engine.open_paths_variable:
        why = (
            "The endpoint picker and Prometheus read the metrics without the key. The network "
            "policy keeps every other pod from the replica."
        )
        name = Because(engine.open_paths_variable, why)
        variables.append({"name": name, "value": engine.metrics_path})
    variables.append(pod_parts.from_secret(names, engine.key_variable, "engine-key"))
    if engine.hub_token_variable is not None:
        token = engine.hub_token_variable
        variables.append(pod_parts.from_secret(names, token, "hub-token", optional=True))
    return variables


def _resources(site: Site) -> Node:
    plan = site.plan
    if plan.gpus:
        memory = plan.gpus * _HOST_GIB_PER_GPU + math.ceil(site.engine.shm_bytes / _GIB)
        wanted = {
            "requests": {"cpu": str(4 * plan.gpus), "memory": f"{memory}Gi"},
            "limits": {"nvidia.com/gpu": str(plan.gpus)},
        }
    else:
        memory = math.ceil((plan.memory.total_bytes + site.engine.shm_bytes) / _GIB)
        wanted = {"requests": {"cpu": "4", "memory": f"{memory}Gi"}, "limits": {}}
    return ChartValue(
        "engine.resources",
        wanted,
        "No limit of the CPU: throttling stalls the scheduler of the engine, and with it the GPU. "
        "/dev/shm counts as memory.",
    )


def _probes(site: Site) -> dict[str, Node]:
    path = site.engine.health_path
    return {
        "startupProbe": Because(
            pod_parts.http_probe(path, _PROBE_S, math.ceil(site.engine.first_start_s / _PROBE_S)),
            f"The first start downloads, loads and compiles: it has "
            f"{site.engine.first_start_s // 60} minutes. Until then nothing else is asked.",
        ),
        "readinessProbe": Because(
            pod_parts.http_probe(path, 5, 2), "Requests come only while it can answer."
        ),
        "livenessProbe": Because(
            pod_parts.http_probe(path, _PROBE_S, 6),
            "An engine that hung for a minute is started again. It answers this beside its work, "
            "however long a prompt is read.",
        ),
    }


def _drain(site: Site) -> Node:
    engine = site.engine
    return Because(
        [
            "python3",
            f"{_DRAIN_FOLDER}/drain.py",
            str(engine.port),
            engine.metrics_path,
            str(_SETTLE_S),
            engine.running_metric,
            engine.waiting_metric,
        ],
        "Before the engine is stopped, its answers end: it would cut them off.",
    )


def _folders(site: Site) -> list[str]:
    return sorted({str(PurePosixPath(path).parent) for path, _ in site.engine.files})


def _mounts(site: Site) -> Node:
    mounts: list[Node] = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108  (in the pod)
    mounts += [{"name": folder.name, "mountPath": folder.path} for folder in site.engine.folders]
    if site.engine.model_folder is not None:
        inside = site.engine.model_folder[1]
        mounts.append({"name": "model", "mountPath": inside, "readOnly": True})
    mounts += [
        {"name": f"files-{number}", "mountPath": folder, "readOnly": True}
        for number, folder in enumerate((*_folders(site), _DRAIN_FOLDER))
    ]
    return mounts


def _volumes(site: Site, names: Names) -> Node:
    size = f"{math.ceil(site.engine.shm_bytes / _GIB)}Gi"
    volumes: list[Node] = [
        {
            "name": Because(
                "shm",
                "Engine processes pass tensors through /dev/shm; a container has 64 MB of it.",
            ),
            "emptyDir": {"medium": "Memory", "sizeLimit": size},
        },
    ]
    volumes += [_volume_of(folder.name, folder.reason, names) for folder in site.engine.folders]
    if site.engine.model_folder is not None:
        why = "Make this claim, and copy the model's files into its volume."
        claim: Node = {"claimName": names.models, "readOnly": True}
        volumes.append({"name": Because("model", why), "persistentVolumeClaim": claim})
    given = [path for path, _ in site.engine.files]
    for number, folder in enumerate((*_folders(site), _DRAIN_FOLDER)):
        held = [PurePosixPath(p).name for p in given if str(PurePosixPath(p).parent) == folder]
        items = [{"key": name, "path": name} for name in (held or ["drain.py"])]
        volumes.append(
            {"name": f"files-{number}", "configMap": {"name": names.engine, "items": items}}
        )
    return volumes


def _volume_of(folder: str, reason: str, names: Names) -> Node:
    if folder == "models":
        claim = {"claimName": names.models}
        return {"name": Because(folder, f"{_sentence(reason)}."), "persistentVolumeClaim": claim}
    why = f"{_sentence(reason)}, for as long as the pod lives: a volume for all would mix GPUs."
    return {"name": Because(folder, why), "emptyDir": {}}


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:]
