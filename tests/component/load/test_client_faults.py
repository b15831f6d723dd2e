# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine lacks is told apart from what the server did: real limits, in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load import command

# The folder above `module_utils`: the engine runs by itself, outside of Ansible's name for the collection.
ROOT = os.path.abspath(os.path.join(os.path.dirname(command.__file__), "../.."))

# A server that holds every connection, and a load in another process with what the arguments leave it.
SCRIPT = """
import json, os, resource, signal, socket, sys, threading
sys.path.insert(0, sys.argv[1])
from module_utils._load.command import run
from module_utils._load.options import Options
limit, options = int(sys.argv[2]), json.loads(sys.argv[3])
listener = socket.create_server(("127.0.0.1", 0), backlog=256)
answer = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
counted, told = os.pipe()

def serve(sock):
    while sock.recv(65536):
        os.write(told, b"x")
        sock.sendall(answer)

if not os.fork():
    signal.alarm(90)  # should nobody end it
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
os.close(told)
url = "http://127.0.0.1:%d/" % listener.getsockname()[1]
listener.close()
if limit:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
try:
    own = run(Options(url=url, timeout=5_000_000_000, **options), handle_signals=False)["LoadTest"]
    print(json.dumps({"own": own, "served": len(os.read(counted, 65536))}), flush=True)
finally:
    os.killpg(0, signal.SIGKILL)
"""


def told(limit: int, *before: str, **options: Any) -> dict[str, Any]:
    command_line: list[str] = [
        *before, sys.executable, "-c", SCRIPT, ROOT, str(limit), json.dumps(options)
    ]  # fmt: skip
    done = subprocess.run(
        command_line, capture_output=True, text=True, timeout=60, check=False, start_new_session=True,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


def check(said: dict[str, Any], errno_name: str, calls: int) -> None:
    own = said["own"]
    assert own["requests"] == calls
    assert own["classes"] == {"client": own["failed"]}
    assert own["client_faults"] == own["failed"] > 0
    assert own["ok"] == said["served"] > 0
    assert {record["errno"] for record in own["ledger"]} == {errno_name}


def test_no_descriptor_left() -> None:
    check(told(40, calls=200, connections=100), "EMFILE", 200)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
@pytest.mark.parametrize(
    "options",
    [
        {"calls": 40, "connections": 20},
        {"calls": 40, "connections": 20, "rate": 400, "connection_modes": "new"},
    ],
    ids=["kept", "new"],
)
def test_no_port_left(options: dict[str, Any]) -> None:
    """In a network of its own with ten ports."""
    setup = 'ip link set lo up && echo 40000 40009 > /proc/sys/net/ipv4/ip_local_port_range && exec "$@"'
    unshare = ("unshare", "-n", "sh", "-c", setup, "sh")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network of its own is to be had here")
    check(told(0, *unshare, **options), "EADDRNOTAVAIL", 40)
