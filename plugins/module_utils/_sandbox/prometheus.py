# SPDX-License-Identifier: GPL-3.0-or-later
"""Start Prometheus in a pod of the sandbox: `python3 -m …_sandbox.prometheus`.

Writes the configuration, which has to name the pod's own kubeconfig, and becomes Prometheus. Its environment:
HOME (the pod's directory), KUBECONFIG, POD_IP, PORT.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

_POD = "__meta_kubernetes_pod_"
_SCRAPE = f"{_POD}annotation_prometheus_io_scrape"
_PORT = f"{_POD}annotation_prometheus_io_port"
_NOT_RUNNING = "Pending|Succeeded|Failed"


def configuration(kubeconfig: str) -> dict[str, Any]:
    """Scrape every second each running pod that is annotated `prometheus.io/scrape: "true"`, at the port that
    `prometheus.io/port` names."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": "pods",
                # A model server names its revision itself; those labels win over the ones added here.
                "honor_labels": True,
                "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": kubeconfig}],
                "relabel_configs": [
                    {"action": "keep", "source_labels": [_SCRAPE], "regex": "true"},
                    {"action": "drop", "source_labels": [f"{_POD}phase"], "regex": _NOT_RUNNING},
                    {
                        "source_labels": [f"{_POD}ip", _PORT],
                        "separator": ":",
                        "regex": r"([\d.]+:\d+)",
                        "target_label": "__address__",
                    },
                    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
                    {"source_labels": [f"{_POD}name"], "target_label": "pod"},
                    {
                        "source_labels": [f"{_POD}label_serving_knative_dev_revision"],
                        "target_label": "revision",
                    },
                ],
            }
        ],
    }


def arguments(config: Path, data: Path, listen: str) -> list[str]:
    """Prometheus' command line."""
    return [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=1d",
        f"--web.listen-address={listen}",
        "--log.level=warn",
    ]


def main() -> None:
    """Write the configuration and exec."""
    home = Path(os.environ["HOME"])
    config = home / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(os.environ["KUBECONFIG"])), encoding="utf-8")
    argv = arguments(config, home / "prometheus", f"{os.environ['POD_IP']}:{os.environ['PORT']}")
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"prometheus cannot be started from PATH {os.environ.get('PATH', '')}: {error.strerror}")


if __name__ == "__main__":
    main()
