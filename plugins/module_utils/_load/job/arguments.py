# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load sends, when and how: the options of all modules that start one, as Ansible has them specified.

`plugins/doc_fragments/load.py` documents them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOAD_ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str"},
    "headers": {"type": "dict", "default": {}},
    "secret_headers": {"type": "dict", "default": {}, "no_log": True},
    "request_id_header": {"type": "str"},
    "method": {"type": "str"},
    "payload": {"type": "raw", "no_log": True},
    "payload_file": {"type": "path"},
    "payload_files": {"type": "list", "elements": "path"},
    "payloads": {
        "type": "list",
        "elements": "dict",
        "options": {
            "payload": {"type": "raw", "no_log": True},
            "payload_file": {"type": "path"},
            "weight": {"type": "float", "default": 1},
            "name": {"type": "str"},
        },
    },
    "payload_lines": {"type": "path"},
    "seed": {"type": "int", "default": 0},
    "rate": {"type": "float"},
    "arrival": {"type": "str", "choices": ["uniform", "poisson"], "default": "uniform"},
    "profile": {
        "type": "list",
        "elements": "dict",
        "options": {
            "rate": {"type": "float"},
            "from": {"type": "float"},
            "to": {"type": "float"},
            "duration": {"type": "str", "required": True},
        },
    },
    "send_times": {"type": "path"},
    "repeat": {"type": "bool", "default": False},
    "duration": {"type": "str"},
    "max_duration": {"type": "str", "default": "4h"},
    "calls": {"type": "int", "default": 0},
    "connections": {"type": "int", "default": 4},
    "max_connections": {"type": "int", "default": 0},
    "timeout": {"type": "str", "default": "3s"},
    "streams": {"type": "int", "default": 100},
    "grpc_method": {"type": "str", "default": "ModelInfer"},
    "grpc_stream": {"type": "bool", "default": False},
    "connection_modes": {"type": "str", "choices": ["keep-alive", "new", "both"], "default": "keep-alive"},
    "pacing": {"type": "str", "choices": ["open", "closed"], "default": "open"},
    "catch_up": {"type": "bool", "default": True},
    "warmup": {"type": "int", "default": 0},
    "abort_failures": {"type": "int", "default": 0},
    "revision_header": {"type": "str"},
    "revision_field": {"type": "str"},
    "stream": {"type": "str", "choices": ["sse"]},
    "stream_timeout": {"type": "str", "default": "10m"},
    "expect_status": {"type": "list", "elements": "int"},
    "expect_body": {"type": "str"},
    "max_head": {"type": "int", "default": 1048576},
    "max_interim": {"type": "int", "default": 100},
    "address": {"type": "str"},
    "server_name": {"type": "str"},
    "verify": {"type": "bool", "default": True},
    "connect_check": {"type": "bool", "default": True},
    "ledger_limit": {"type": "int", "default": 10000},
    "labels": {"type": "str", "default": ""},
}

MUTUALLY_EXCLUSIVE = [
    ("payload", "payload_file", "payload_files", "payloads", "payload_lines"),
    ("rate", "profile", "send_times"),
]


def payload_texts(arguments: Mapping[str, Any]) -> set[str]:
    """The texts within all payloads. Ansible would hide each of them wherever it appears in what a module
    returns, though no payload is ever in that: numbers would be hidden that are part of one."""
    rows = arguments["payloads"] or []
    given = [arguments["payload"], *(row["payload"] for row in rows)]
    return {text for payload in given for text in _leaves(payload)}


def _leaves(value: Any) -> set[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {text for one in value for text in _leaves(one)}
    return {str(value)}
