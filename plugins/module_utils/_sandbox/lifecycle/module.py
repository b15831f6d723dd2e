# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `sandbox`: options in, results out."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress

from .. import faults, paths
from . import absent, parts, present

# What the code imports in either state, and what the processes import, with the packages that have it.
_LIBRARIES = {"cryptography.x509": "cryptography", "urllib3": "urllib3", "yaml": "pyyaml"}
_LIBRARIES_OF_PROCESSES = {"kopf": "kopf", "kubernetes": "kubernetes"}


def explain(error: BaseException) -> str:
    """An error in words, with what to do where it is known."""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"There is no room left on the disk that holds {error.filename}. Make room and run again."
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    return str(error)


def _require_libraries(module: AnsibleModule) -> None:
    """Fail, and say how to install them, where there are libraries missing that the state asked for needs."""
    missing, more = [], {}
    for name, package in _LIBRARIES.items():
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(package)
            more = {"exception": traceback.format_exc()}
    if module.params["state"] == "present":
        # Looked for and not imported: that takes a second, and only the processes do it.
        found = importlib.util.find_spec
        missing += [package for name, package in _LIBRARIES_OF_PROCESSES.items() if found(name) is None]
    if missing:
        how = f"{sys.executable} -m pip install {' '.join(missing)}"
        module.fail_json(msg=f"{missing_required_lib(', '.join(missing))} To install: {how}", **more)


def _results(where: paths.Layout, name: str, found: Optional[paths.Sandbox]) -> dict[str, Any]:
    results: dict[str, Any] = {
        "state_dir": str(where.root),
        "kubeconfig": str(where.kubeconfig),
        "context": f"sandbox-{name}",
        "faults": {fault: about.summary for fault, about in faults.CATALOGUE.items()},
    }
    if found is not None:
        results["api_server"] = found.api_server
        results["network"] = f"127.{found.network}.0.0/16"
        results["versions"] = found.versions
        results["programs"] = found.programs
    return results


def _steps(progress: Progress) -> Callable[[str], None]:
    return lambda text: progress.add("sandbox", "step", text)


def _present(module: AnsibleModule, progress: Progress) -> dict[str, Any]:
    options = module.params
    name = options["name"]
    where = paths.layout(name)
    wanted = present.SandboxOptions(
        source=Path(options["source_dir"]) if options["source_dir"] else present.default_source(),
        cache=Path(options["cache_dir"]).absolute() if options["cache_dir"] else paths.cache_dir(),
        binaries_dir=Path(options["binaries_dir"]) if options["binaries_dir"] else None,
        api_port=options["api_port"],
        owner=options["owner_pid"] if options["exclusive"] else None,
    )
    if module.check_mode:
        present.check(name, wanted)
        changed = present.would_change(name)
        return {"changed": changed, **_results(where, name, paths.read_sandbox(where))}
    began = time.monotonic()
    outcome = present.up(name, wanted, _steps(progress))
    if outcome.created and options["record"]:
        Path(options["record"]).unlink(missing_ok=True)
    if outcome.changed:
        text = f"the sandbox {name} is up after {time.monotonic() - began:.1f} s"
        progress.add("sandbox", "completed", text)
    return {
        "changed": outcome.changed,
        "created": outcome.created,
        "started": list(outcome.started),
        **_results(where, name, outcome.sandbox),
    }


def _absent(module: AnsibleModule, progress: Progress) -> dict[str, Any]:
    name = module.params["name"]
    where = paths.layout(name)
    if module.check_mode:
        running = absent.would_remove(name)
        return {
            "changed": bool(running) or where.root.exists(),
            "ended": running,
            **_results(where, name, None),
        }
    folder = module.params["cache_dir"]
    outcome = absent.down(name, _steps(progress), cache_dir=Path(folder) if folder else paths.cache_dir())
    if outcome.changed:
        text = f"the sandbox {name} is gone: {len(outcome.ended)} processes ended, no file left"
        progress.add("sandbox", "deleted", text)
    return {"changed": outcome.changed, "ended": outcome.ended, **_results(where, name, None)}


def run(module: AnsibleModule) -> None:
    """Do what the module's options ask and exit."""
    _require_libraries(module)
    transitions: list[dict[str, Any]] = []
    act = _present if module.params["state"] == "present" else _absent
    try:
        progress = Progress(None if module.check_mode else module.params["progress_file"])
        transitions = progress.entries
        results = act(module, progress)
    except parts.ERRORS as error:
        module.fail_json(msg=printable_lines(explain(error)), transitions=transitions)
    module.exit_json(transitions=transitions, **results)
