# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a container: its probes over HTTP, its preStop hook as a program."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Mapping, Optional, Sequence

from ...processes import records
from ..context import Context, within
from ..handle import Handle
from .place import Place
from .probes import ProbeSpec, ProbeState

_OUTPUT_BYTES = 400
_KILL_SECONDS = 10.0


class Asking:
    """One probe of a container that runs, asked again and again.

    started_at: on the context's monotonic clock. before: what holds before it was asked. problem: what went
    wrong when it was asked last, "" if nothing.
    """

    def __init__(self, place: Place, probe: Mapping[str, Any], started_at: float, before: bool) -> None:
        self.problem = ""
        self._place = place
        self._request = probe["httpGet"]
        self._state = ProbeState(ProbeSpec.parse(probe), started_at, before)

    async def next(self) -> bool:
        """Ask when it is due; the verdict that holds then."""
        context, state = self._place.context, self._state
        await context.sleep(max(0.0, state.due - context.monotonic()))
        self.problem = await get(self._place, self._request, state.spec.timeout)
        return state.observe(not self.problem, context.monotonic())


async def get(place: Place, wanted: Mapping[str, Any], timeout: float) -> str:
    """One httpGet, within `timeout` seconds. Returns "" or what went wrong."""
    try:
        problem: str = await within(timeout, _get(place, wanted))
        return problem
    except asyncio.TimeoutError:
        return f"no answer within {timeout:g} s"
    except (OSError, ValueError) as error:
        return str(error)


async def _get(place: Place, wanted: Mapping[str, Any]) -> str:
    port, host, path = place.port(wanted["port"]), place.address, wanted.get("path") or "/"
    lines = [
        f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1",
        f"Host: {host}:{port}",
        "User-Agent: kube-probe/sandbox",
        "Accept: */*",
        "Connection: close",
    ]
    reader, writer = await asyncio.open_connection(host, port)
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


async def run_hook(place: Place, identity: str, command: Sequence[str], timeout: float) -> str:
    """Run a hook's program, within `timeout` seconds. Returns "" or what went wrong.

    identity: names its process's record. Nothing of it goes on afterwards, not even when this is cancelled.
    """
    output = place.folder.path / f".{identity}"
    output.unlink(missing_ok=True)
    starting = asyncio.ensure_future(place.launch(identity, command, "exec", output))
    handle: Optional[Handle] = None
    try:
        handle = Handle(place.context, await asyncio.shield(starting))
        if not await handle.ended_within(timeout):
            return f"{command[0]} did not end within {timeout:g} s"
        if handle.exited.result() == 0:
            return ""
        said = output.read_bytes()[-_OUTPUT_BYTES:].decode(errors="replace").strip()
        return f"{command[0]} ended with {handle.exited.result()}: {said}"
    except (records.ProcessError, OSError) as error:
        return str(error)
    finally:
        await asyncio.shield(_end(place.context, starting, handle))
        output.unlink(missing_ok=True)


async def _end(context: Context, starting: asyncio.Future[records.Process], handle: Optional[Handle]) -> None:
    if handle is None:
        try:
            handle = Handle(context, await starting)
        except (records.ProcessError, OSError):
            return
    handle.signal(signal.SIGKILL)
    await handle.ended_within(_KILL_SECONDS)
