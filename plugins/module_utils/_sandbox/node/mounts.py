# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's volumes, credentials and environment on this machine: set up, kept up to date."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import ApiError, Json
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import (
    credentials,
    environment,
    volumes,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.context import Context, within
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.store import PodFolder

_ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# Secrets are not watched (the node would need the right to list them all) but read again this often.
_SECRET_SECONDS = 60.0
_LONGEST_SLEEP = 3600.0


def own_volumes(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The pod's volumes without the one in which the API server hands out the service account's token.

    The node writes those credentials itself, bound to the pod, where KUBECONFIG points.
    """
    spec = pod["spec"]
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    mounts = [mount for one in containers for mount in one.get("volumeMounts") or ()]
    account = {mount["name"] for mount in mounts if mount.get("mountPath") == _ACCOUNT_MOUNT}
    return [volume for volume in spec.get("volumes") or () if volume["name"] not in account]


class Mounts:
    """What a pod finds on disk and in its environment."""

    def __init__(self, context: Context, pod: Mapping[str, Any], folder: PodFolder, address: str) -> None:
        self._context = context
        self._pod = pod
        self._folder = folder
        self._addresses = (address, context.host_address)
        self._secrets: dict[str, Optional[Json]] = {}
        self._tokens: dict[volumes.TokenRequest, tuple[str, float]] = {}
        self._renew_at: Optional[float] = None
        self._changed = asyncio.Event()

    @property
    def _namespace(self) -> str:
        return str(self._pod["metadata"]["namespace"])

    async def set_up(self) -> None:
        """Write credentials and volumes. Raises VolumeError or ApiError if that cannot be done (yet)."""
        self._folder.create()
        await self._renew()
        for name in volumes.references(self._pod, "configMap"):
            await self._fresh_configmap(name)
        await self._write_volumes(fresh_secrets=True)

    def pod_changed(self, pod: Mapping[str, Any]) -> None:
        """The Pod object is no longer what it was: the downward API shows its labels and annotations."""
        before, after = self._pod["metadata"], pod["metadata"]
        self._pod = pod
        if any(before.get(key) != after.get(key) for key in ("labels", "annotations")):
            self._changed.set()

    def configmap_changed(self, name: str) -> None:
        """A ConfigMap of the pod's namespace is no longer what it was."""
        if name in volumes.references(self._pod, "configMap"):
            self._changed.set()

    async def keep_up(self) -> None:
        """Follow changes of ConfigMaps and Secrets and renew tokens, for ever."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._sleep(), self._changed.wait())
            fresh = not self._changed.is_set()
            self._changed.clear()
            try:
                if fresh:
                    await self._renew()
                changed = await self._write_volumes(fresh_secrets=fresh)
            except (volumes.VolumeError, ApiError, OSError) as error:
                # What is there stays there, as with the kubelet: a deleted ConfigMap takes nothing away.
                self._context.event(dict(self._pod), "Warning", "FailedMount", str(error))
            else:
                for name in changed:
                    self._context.event(
                        dict(self._pod), "Normal", "VolumeUpdated", f"volume {name} has changed"
                    )

    async def environment(self, spec: Mapping[str, Any]) -> dict[str, str]:
        """The environment of a container. Raises environment.ConfigError."""
        found: dict[tuple[str, str], Optional[environment.Data]] = {}
        for kind, name in _env_references(spec):
            read = self._fresh_configmap if kind == "ConfigMap" else self._fresh_secret
            try:
                item = await read(name)
            except ApiError as error:
                raise environment.ConfigError(f"{kind} {name}: {error}") from error
            decoded = None if item is None else volumes.data_of({"kind": kind, **item})
            found[kind, name] = (
                None if decoded is None else {k: v.decode(errors="replace") for k, v in decoded.items()}
            )
        env: dict[str, str] = environment.compose(
            self._pod, spec, self._base(), self._addresses, lambda kind, name: found.get((kind, name))
        )
        return env

    def _base(self) -> dict[str, str]:
        meta, context = self._pod["metadata"], self._context
        # A pod's program may itself call the others by name.
        programs = dict.fromkeys(os.path.dirname(program) for program in context.programs.values())
        env = {
            "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
            "HOME": str(self._folder.path),
            "TMPDIR": str(self._folder.path / "tmp"),
            "LANG": "C.UTF-8",
            "HOSTNAME": meta["name"],
            "PYTHONPATH": str(context.layout.lib),
            # So that a log shows what was said before a kill.
            "PYTHONUNBUFFERED": "1",
            "POD_IP": self._addresses[0],
            "POD_NAME": meta["name"],
            "POD_NAMESPACE": meta["namespace"],
            "SANDBOX_SHARED": str(context.layout.shared),
        }
        if credentials.wanted(self._pod):
            env["KUBECONFIG"] = str(self._folder.kubeconfig)
        if "LD_LIBRARY_PATH" in os.environ:
            env["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        for volume in own_volumes(self._pod):
            env[environment.volume_variable(volume["name"])] = str(self._where(volume))
        return env

    def _where(self, volume: Mapping[str, Any]) -> Path:
        where: Path = volumes.location(volume, self._folder.volumes, self._context.layout.shared)
        return where

    def _sleep(self) -> float:
        """How long nothing need be done of the node's own accord, in seconds."""
        now = self._context.clock()
        due = [when for _token, when in self._tokens.values()]
        if self._renew_at is not None:
            due.append(self._renew_at)
        if volumes.references(self._pod, "secret"):
            due.append(now + _SECRET_SECONDS)
        left = min(due, default=now + _LONGEST_SLEEP) - now
        return float(min(_LONGEST_SLEEP, max(1.0, left)))

    async def _renew(self) -> None:
        if not credentials.wanted(self._pod) or (self._renew_at or 0) > self._context.clock():
            return
        token, self._renew_at = await credentials.request_token(
            self._context, self._pod, "", credentials.TOKEN_SECONDS
        )
        credentials.write(self._context, self._pod, self._folder, token)

    async def _write_volumes(self, fresh_secrets: bool) -> list[str]:
        """Write every volume as it should be now; returns the names of those that changed."""
        if fresh_secrets:
            for name in _secrets(self._pod):
                await self._fresh_secret(name)
        for wish in _tokens(self._pod):
            if wish not in self._tokens or self._tokens[wish][1] <= self._context.clock():
                self._tokens[wish] = await credentials.request_token(
                    self._context, self._pod, wish.audience, wish.seconds
                )
        changed = []
        for volume in own_volumes(self._pod):
            where = self._where(volume)
            wanted = volumes.content(
                self._pod, volume, self._addresses, self._lookup, lambda wish: self._tokens[wish][0]
            )
            if wanted is None:
                volumes.prepare(volume, where)
            elif volumes.write(where, wanted):
                changed.append(volume["name"])
        return changed

    def _lookup(self, kind: str, name: str) -> Optional[volumes.Bytes]:
        if kind == "Secret":
            item = self._secrets.get(name)
        else:
            item = self._context.configmaps.get(self._namespace, name)
        return None if item is None else volumes.data_of({"kind": kind, **item})

    async def _fresh_configmap(self, name: str) -> Optional[Json]:
        """The ConfigMap as it is now: the watch may be a moment behind whoever changed it."""
        item = await self._get(f"/api/v1/namespaces/{self._namespace}/configmaps/{name}")
        if item is not None:
            self._context.configmaps.keep(item)
        return item

    async def _fresh_secret(self, name: str) -> Optional[Json]:
        self._secrets[name] = await self._get(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
        return self._secrets[name]

    async def _get(self, path: str) -> Optional[Json]:
        try:
            return await self._context.insist("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def _secrets(pod: Mapping[str, Any]) -> set[str]:
    names: set[str] = volumes.references({"spec": {"volumes": own_volumes(pod)}}, "secret")
    return names


def _tokens(pod: Mapping[str, Any]) -> Iterable[volumes.TokenRequest]:
    """The service account tokens that the pod's own volumes ask for."""
    wishes: list[volumes.TokenRequest] = []

    def note(wish: volumes.TokenRequest) -> str:
        wishes.append(wish)
        return ""

    for volume in own_volumes(pod):
        if "projected" in volume:
            asked = [one for one in volume["projected"].get("sources") or () if "serviceAccountToken" in one]
            volumes.content(pod, {"projected": {"sources": asked}}, ("", ""), lambda *_unused: None, note)
    return wishes


def _env_references(spec: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The (kind, name) of the ConfigMaps and Secrets that a container's environment is made from."""
    sources = [variable.get("valueFrom") or {} for variable in spec.get("env") or ()]
    sources += spec.get("envFrom") or ()
    keys = {
        "configMapKeyRef": "ConfigMap",
        "configMapRef": "ConfigMap",
        "secretKeyRef": "Secret",
        "secretRef": "Secret",
    }
    return {(kind, source[key]["name"]) for source in sources for key, kind in keys.items() if key in source}
