# SPDX-License-Identifier: GPL-3.0-or-later
"""Start Prometheus in a pod of the sandbox: `python3 -m …_sandbox.monitoring.main prometheus`.

Writes the configuration, which names the pod's own folders, and becomes Prometheus. Its environment: HOME
(the pod's folder), VOLUME_TARGETS (where `targets` writes), POD_IP, PORT.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from .targets import FILE_NAME

with contextlib.suppress(ImportError):  # The module `sandbox` reports it.
    import yaml


def configuration(targets: Path) -> dict[str, Any]:
    """Scrape every second what the file `targets` names.

    Prometheus reads the file again when it changes. Its own discovery by the API server is not used: Debian
    builds Prometheus without it.
    """
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": "pods",
                # A model server names its revision itself; its labels win over the ones of its target.
                "honor_labels": True,
                "file_sd_configs": [{"files": [str(targets)]}],
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
    targets = Path(os.environ["VOLUME_TARGETS"]) / FILE_NAME
    config.write_text(yaml.safe_dump(configuration(targets)), encoding="utf-8")
    argv = arguments(config, home / "prometheus", f"{os.environ['POD_IP']}:{os.environ['PORT']}")
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"prometheus cannot be started from PATH {os.environ.get('PATH', '')}: {error.strerror}")
