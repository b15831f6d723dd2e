# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's identity at the API server: a token of its service account, bound to the pod, and a kubeconfig."""

from __future__ import annotations

import json
from typing import Any, Mapping

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically

from ...kube.times import seconds
from ..context import Context
from ..store import PodFolder

# Not every client reads its token again while it runs, so it lasts a day; it ends with the pod in any case.
TOKEN_SECONDS = 24 * 3600
# A token is renewed when this share of its life is over, as the kubelet does.
_RENEW_AT = 0.8


async def request_token(context: Context, pod: Mapping[str, Any]) -> tuple[str, float]:
    """A token of the pod's service account; when to renew it, seconds since the epoch. Raises ApiError."""
    meta = pod["metadata"]
    account = pod["spec"].get("serviceAccountName") or "default"
    answer = await context.call_with_retry(
        "POST",
        f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [],
                "expirationSeconds": TOKEN_SECONDS,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": meta["name"],
                    "uid": meta["uid"],
                },
            },
        },
    )
    now = context.clock()
    expires = seconds(answer["status"]["expirationTimestamp"])
    return str(answer["status"]["token"]), now + max(1.0, (expires - now) * _RENEW_AT)


def wanted(pod: Mapping[str, Any]) -> bool:
    """Whether the pod gets an identity at all."""
    return pod["spec"].get("automountServiceAccountToken") is not False


def write(context: Context, pod: Mapping[str, Any], folder: PodFolder, token: str) -> None:
    """Write token, CA, namespace and a kubeconfig that names them, each for the owner alone."""
    namespace = pod["metadata"]["namespace"]
    account = folder.service_account
    write_atomically(account / "ca.crt", context.api.access.ca, mode=0o600)
    write_atomically(account / "namespace", namespace, mode=0o600)
    write_atomically(account / "token", token, mode=0o600)
    cluster = {"server": context.api.access.server, "certificate-authority": str(account / "ca.crt")}
    # tokenFile is for clients that read a renewed token, token for those that know no tokenFile.
    user = {"token": token, "tokenFile": str(account / "token")}
    name = "sandbox"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    # JSON is YAML.
    write_atomically(folder.kubeconfig, json.dumps(document, indent=1), mode=0o600)
