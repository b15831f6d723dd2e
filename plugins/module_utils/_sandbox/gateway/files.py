# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that tell Envoy its clusters and routes; one writer (the serving controller)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import config


class GatewayFiles:
    """Clusters and routes as they lie in the shared folder."""

    def __init__(self, shared: Path) -> None:
        self.folder = shared / "xds"

    def create_if_missing(self) -> None:
        """Lay down empty clusters and routes where there are none: Envoy does not start without its files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, document in (
            (config.CDS_FILE, config.cds_document({})),
            (config.RDS_FILE, config.rds_document({})),
        ):
            draft = self._draft(name, document)
            # A link, unlike a rename, never replaces what the controller may have written meanwhile.
            with contextlib.suppress(FileExistsError):
                os.link(draft, self.folder / name)
            draft.unlink()

    def read(self, name: str) -> Any:
        """Return a file's document."""
        return json.loads((self.folder / name).read_text())

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace a file by a rename, which is what Envoy watches for."""
        self._draft(name, document).replace(self.folder / name)

    def _draft(self, name: str, document: Mapping[str, Any]) -> Path:
        draft = self.folder / f".{name}.{os.getpid()}"
        draft.write_text(json.dumps(document))
        return draft
