# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of one static program, or of some files, as OCI layouts in tar files: no container engine is needed.

Format: the OCI image specification, 1.0 (image-layout.md, manifest.md, config.md).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Any but root's: Knative's queue-proxy and KServe's manager insist on a user that is not root.
USER = "65532"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
# Names that Knative does not look up in a registry begin so.
PREFIX = "dev.local"


def name(program: str, version: str) -> str:
    """The full name of an image."""
    return f"{PREFIX}/{program}:{version}"


def _entry(path: str, size: int, mode: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.type = size, mode, kind
    return entry


def _layer(program: Path, inside: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_entry("tmp", 0, 0o1777, tarfile.DIRTYPE))
        with open(program, "rb") as stream:
            tar.addfile(_entry(inside, program.stat().st_size, 0o755), stream)
    return content.getvalue()


def _layer_of(files: Iterable[Path], links: Mapping[str, str]) -> bytes:
    """Files at the paths that they have here, and symbolic links."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_entry("tmp", 0, 0o1777, tarfile.DIRTYPE))
        for path in sorted(set(files)):
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with open(path, "rb") as stream:
                tar.addfile(_entry(str(path).lstrip("/"), path.stat().st_size, mode), stream)
        for name, target in sorted(links.items()):
            link = _entry(name.lstrip("/"), 0, 0o777, tarfile.SYMTYPE)
            link.linkname = target
            tar.addfile(link)
    return content.getvalue()


def write(target: Path, image: str, program: Path, inside: str) -> None:
    """Write an image whose entry point is `program`, at /`inside`. The same input gives the same file."""
    _write(target, image, _layer(program, inside), [f"/{inside}"])


def write_files(target: Path, image: str, files: Iterable[Path], links: Mapping[str, str]) -> None:
    """Write an image that has these files where they are here, and symbolic links (path to target)."""
    _write(target, image, _layer_of(files, links), [])


def _write(target: Path, image: str, content: bytes, entry_point: list[str]) -> None:
    blobs: dict[str, bytes] = {}

    def put(media: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}

    def document(media: str, value: dict[str, Any]) -> dict[str, Any]:
        return put(media, json.dumps(value).encode())

    layer = put(_LAYER, content)
    config = document(
        _CONFIG,
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": entry_point, "User": USER, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        },
    )
    manifest = document(
        _MANIFEST, {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": [layer]}
    )
    manifest["annotations"] = {"io.containerd.image.name": image}
    files = {f"blobs/sha256/{digest}": content for digest, content in blobs.items()}
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    with tarfile.open(target, mode="w") as tar:
        for path, data in files.items():
            tar.addfile(_entry(path, len(data), 0o644), io.BytesIO(data))
