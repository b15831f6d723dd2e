# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server, by the kubeconfig that a pod of the sandbox is given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config


def connect() -> Any:
    """A kubernetes.client.ApiClient for $KUBECONFIG.

    Some versions of the client library are typed and some are not, so its objects are Any here.
    """
    load: Any = kubernetes.config.load_kube_config
    configuration: Any = kubernetes.client.Configuration()
    load(os.environ["KUBECONFIG"], client_configuration=configuration)
    token = Path(os.environ["KUBECONFIG"]).parent / "serviceaccount" / "token"
    if token.exists():

        def refresh(current: Any) -> None:
            bearer = f"Bearer {token.read_text(encoding='utf-8').strip()}"
            # The name of the entry differs between versions of the library.
            current.api_key.update(dict.fromkeys(list(current.api_key), bearer))

        # The node renews a pod's token while the pod runs.
        configuration.refresh_api_key_hook = refresh
    return kubernetes.client.ApiClient(configuration)
