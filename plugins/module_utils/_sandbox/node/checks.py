# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a probe, or run a hook, once: httpGet, tcpSocket, exec or sleep."""

from __future__ import annotations

import asyncio
import signal
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.context import Context, within
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.handle import Handle
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records

_OUTPUT_BYTES = 400


@dataclass(frozen=True)
class Place:
    """Where a container runs: what its probes and hooks are asked with. `identity` names exec's processes."""

    context: Context
    spec: Mapping[str, Any]
    address: str
    env: Mapping[str, str]
    folder: Path
    identity: str

    def port(self, wanted: Any) -> int:
        """A port by number or by the name that the container's spec gives it. Raises ValueError."""
        if isinstance(wanted, int) or str(wanted).isdigit():
            return int(wanted)
        for port in self.spec.get("ports") or ():
            if port.get("name") == wanted:
                return int(port["containerPort"])
        raise ValueError(f"container {self.spec['name']} has no port named {wanted!r}")


async def ask(place: Place, kind: str, action: Mapping[str, Any], timeout: float) -> str:
    """Do what a probe or hook asks for, within `timeout` seconds. Returns "" or what went wrong."""
    try:
        if "exec" in action:
            return await _exec(place, kind, action["exec"].get("command") or [], timeout)
        problem: str = await within(timeout, _ask(place, action))
        return problem
    except asyncio.TimeoutError:
        return f"no answer within {timeout:g} s"
    except (OSError, ValueError) as error:
        return str(error)


async def _ask(place: Place, action: Mapping[str, Any]) -> str:
    if "httpGet" in action:
        return await _http(place, action["httpGet"])
    if "tcpSocket" in action:
        wanted = action["tcpSocket"]
        _reader, writer = await asyncio.open_connection(
            wanted.get("host") or place.address, place.port(wanted["port"])
        )
        writer.close()
        return ""
    if "sleep" in action:
        await asyncio.sleep(action["sleep"]["seconds"])
        return ""
    return f"the sandbox has no {', '.join(action) or 'such'} check; it has httpGet, tcpSocket and exec"


async def _http(place: Place, wanted: Mapping[str, Any]) -> str:
    port, host = place.port(wanted["port"]), wanted.get("host") or place.address
    context: Optional[ssl.SSLContext] = None
    if wanted.get("scheme") == "HTTPS":
        # A probe asks whether the server answers, not who it is: the kubelet does not verify either.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    path = wanted.get("path") or "/"
    headers = {
        "Host": f"{host}:{port}",
        "User-Agent": "kube-probe/sandbox",
        "Accept": "*/*",
        "Connection": "close",
    }
    for header in wanted.get("httpHeaders") or ():
        headers[header["name"]] = header.get("value", "")
    lines = [
        f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        first = await reader.readline()
    finally:
        writer.close()
    words = first.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return f"http://{host}:{port}{path} did not answer in HTTP"
    code = int(words[1])
    return "" if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"


async def _exec(place: Place, kind: str, command: list[str], timeout: float) -> str:
    identity = f"{place.identity}-{kind}"
    output = place.folder / f".{kind}.{place.spec['name']}"
    output.unlink(missing_ok=True)
    argv = [place.context.programs.get(command[0], command[0]), *command[1:]]
    starting = asyncio.ensure_future(
        place.context.blocking(
            lambda: records.start(
                place.context.layout.processes,
                identity,
                argv,
                role="exec",
                log=output,
                env=place.env,
                cwd=place.folder,
            )
        )
    )
    handle: Optional[Handle] = None
    try:
        handle = Handle(place.context, await asyncio.shield(starting))
        if not await handle.ended_within(timeout):
            return f"{command[0]} did not end within {timeout:g} s"
        if handle.exited.result() == 0:
            return ""
        said = output.read_bytes()[-_OUTPUT_BYTES:].decode(errors="replace").strip()
        return f"{command[0]} ended with {handle.exited.result()}: {said}"
    except records.ProcessError as error:
        return str(error)
    finally:
        # Nothing of it may go on: not after a time-out, nor when the container is on its way out (cancelled).
        await asyncio.shield(_end(place.context, starting, handle))
        output.unlink(missing_ok=True)


async def _end(context: Context, starting: asyncio.Future[records.Process], handle: Optional[Handle]) -> None:
    if handle is None:
        try:
            handle = Handle(context, await starting)
        except records.ProcessError:
            return
    handle.signal(signal.SIGKILL)
    await handle.ended_within(10)
