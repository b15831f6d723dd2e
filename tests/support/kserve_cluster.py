# SPDX-License-Identifier: GPL-3.0-or-later
"""An InferenceService of KServe's on any cluster: patched, and watched with all that is made for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from .conformance import NAME, Json, State, state_of
from .waiting import until

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
WATCHED = (
    (GROUP, VERSION, PLURAL),
    ("serving.knative.dev", "v1", "services"),
    ("networking.internal.knative.dev", "v1alpha1", "ingresses"),
    ("gateway.networking.k8s.io", "v1", "httproutes"),
    ("apps", "v1", "deployments"),
)
QUIET_SECONDS = 1.5
PATIENCE_SECONDS = 60.0


class ClusterTarget:
    """The InferenceService of a namespace of its own, which is made, and deleted with all that is in it.

    Objects are put in order by their resourceVersion, which all share that lie in one etcd.
    """

    def __init__(self, kubeconfig: str, context: str, namespace: str) -> None:
        self._api: Any = config.new_client_from_config(kubeconfig, context)
        self._custom: Any = client.CustomObjectsApi(self._api)
        self._namespace = namespace
        self._events: list[tuple[int, str, Json]] = []
        self._since = 0
        self._changed = time.monotonic()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._watches = [
            threading.Thread(target=self._watch, args=kind, name=f"watch {kind[2]}", daemon=True)
            for kind in WATCHED
        ]

    def __enter__(self) -> ClusterTarget:
        client.CoreV1Api(self._api).create_namespace({"metadata": {"name": self._namespace}})
        for thread in self._watches:
            thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._stopped.set()
        arguments = (GROUP, VERSION, self._namespace, PLURAL)
        try:
            self._custom.delete_namespaced_custom_object(*arguments, NAME)
            gone = self._custom.list_namespaced_custom_object
            until(lambda: not gone(*arguments)["items"], PATIENCE_SECONDS, "the InferenceService is gone")
        except ApiException as error:
            if error.status != 404:
                raise
        finally:
            client.CoreV1Api(self._api).delete_namespace(self._namespace)

    def apply(self, spec: Json, annotations: Mapping[str, str]) -> None:
        """Create the InferenceService, or replace its spec."""
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "InferenceService", "spec": spec}
        where = (GROUP, VERSION, self._namespace, PLURAL)
        if not self._since:
            meta = {"name": NAME, "annotations": dict(annotations)}
            made = self._custom.create_namespaced_custom_object(*where, {**body, "metadata": meta})
            self._since = int(made["metadata"]["resourceVersion"])
            return

        def replace() -> Json:
            # A controller may write between the reading and the writing.
            current = self._custom.get_namespaced_custom_object(*where, NAME)
            made: Json = self._custom.replace_namespaced_custom_object(
                *where, NAME, {**current, "spec": spec}
            )
            return made

        made = until(replace, PATIENCE_SECONDS, "the patch is taken", ignoring=(ApiException,))
        self._since = int(made["metadata"]["resourceVersion"])

    def follow(self, reached: Callable[[Sequence[State]], bool], seconds: float) -> list[State]:
        """The states since `apply`: until the end is reached and nothing has changed for a while."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            quiet = time.monotonic() - self._changed > QUIET_SECONDS
            if quiet and reached(self._states()):
                break
            time.sleep(0.05)
        return self._states()

    def _states(self) -> list[State]:
        with self._lock:
            events = sorted(each for each in self._events if each[0] >= self._since)
        states = [state_of(how, obj) for _version, how, obj in events]
        return [state for state in states if state is not None]

    def _watch(self, group: str, version: str, plural: str) -> None:
        while not self._stopped.is_set():
            try:
                stream = watch.Watch().stream(
                    self._custom.list_namespaced_custom_object,
                    group,
                    version,
                    self._namespace,
                    plural,
                    resource_version="0",
                    timeout_seconds=300,
                )
                for event in stream:
                    if self._stopped.is_set():
                        return
                    self._take(event["type"], event["object"])
            except ApiException as error:
                # This cluster may lack the kind; a watch that was too old begins anew.
                if error.status == 404:
                    return
            except HTTPError:
                # The connection went, with the cluster or by itself.
                self._stopped.wait(0.1)

    def _take(self, how: str, obj: Json) -> None:
        with self._lock:
            self._events.append((int(obj["metadata"]["resourceVersion"]), how, obj))
            self._changed = time.monotonic()
