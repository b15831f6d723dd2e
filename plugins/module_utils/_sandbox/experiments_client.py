# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server, by the kubeconfig that a pod of the sandbox is given."""

from __future__ import annotations

import os
from typing import Any

import kubernetes.client
import kubernetes.config


def connect() -> Any:
    """A kubernetes.client.ApiClient for $KUBECONFIG.

    Some versions of the client library are typed and some are not, so its objects are Any here.
    """
    config: Any = kubernetes.config
    config.load_kube_config(os.environ["KUBECONFIG"])
    return kubernetes.client.ApiClient()
