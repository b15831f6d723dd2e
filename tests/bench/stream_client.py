# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine with a pencil: runs a load and notes when each stream's first token was seen.

usage: stream_client.py ENGINE STAMPS RESULT < OPTIONS   (ENGINE is the path of `_load/main.py`)

A line of STAMPS is a request's id and the engine's own time of its first token (ns of the monotonic clock).
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    engine, stamps, result = (Path(given) for given in sys.argv[1:4])
    sys.path[0] = str(engine.parents[2])
    package = f"{engine.parents[1].name}.{engine.parent.name}"
    exchange = importlib.import_module(f"{package}.engine.exchange").Exchange
    seen: list[tuple[str, int]] = []
    finish = exchange._answered

    def answered(self: Any, conn: Any, now: int) -> None:
        if conn.streamed.first_token is not None:
            seen.append((conn.template.own_id(conn.seq), conn.streamed.first_token))
        finish(self, conn, now)

    exchange._answered = answered
    options = importlib.import_module(f"{package}.options").Options.from_json(json.load(sys.stdin))
    made = importlib.import_module(f"{package}.command").run(options)
    result.write_text(json.dumps(made))
    stamps.write_text("".join(f"{name} {at}\n" for name, at in seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
