# SPDX-License-Identifier: GPL-3.0-or-later
"""The module platform_steps, but for its documentation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.auth import connect
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Forbidden,
    NotFound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Clock
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import Failed
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.application import (
    Application,
    would_change,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.claims import claim
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.ownership import (
    bind,
    open_store,
    refs,
    save_after,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.record import Record
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.store import RecordStore
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.access import (
    missing,
    phrases,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import (
    Progress,
    ProgressFileError,
)

from .apply import StepInstaller
from .edits import edited, images, with_images
from .look import (
    Kinds,
    Planned,
    all_objects,
    find_there,
    homeless,
    leave_filled_in,
    leave_others,
    owned_by_others,
    rights,
)
from .ours import ours
from .self_signed import CertificateError, missing_library, without_cert_manager
from .sources import Reader, read_all
from .steps import PlatformStep, steps_of


def platform(module: Any) -> dict[str, Any]:
    """Runs the module platform_steps."""
    params = module.params
    store = open_store(module)
    steps = steps_of(params["steps"])
    reader = Reader(
        run=lambda command: _ran(module, command),
        folder=str(params["folder"] or ""),
        mirror=str(params["mirror"] or ""),
        checksums=params["checksums"],
    )
    plans, problems = _read(reader, steps, params["images"])
    api = _connected(module, problems, Clock().now() + params["timeout"])
    record = Record(store.run_id)
    try:
        if params["self_signed"]:
            problems += _certified(api, plans)
        record = store.load(api) or record
        bind(api, record, store.path)
        _check(api, plans, record, problems, keep=params["other_version"] == "keep")
    except ClusterError as error:
        if not problems:
            raise
        # It must not hide what was found before it.
        problems.append(str(error))
    if problems:
        raise _refused(problems)
    result = {
        "verified": reader.verified,
        "unverified": reader.unverified,
        "images": images(all_objects(plans)),
        "steps": [{"name": plan.step.name, "there": plan.there} for plan in plans],
        "left": [each for plan in plans for each in plan.left],
        **refs([one for plan in plans for one in plan.claims]),
    }
    if module.check_mode:
        changed = any(would_change(api, one) for plan in plans for one in plan.claims)
        return {"changed": changed, **result, "transitions": []}
    progress = Progress(params["progress_file"], time.time)
    installation = _Installation(api, store, record, progress, params["timeout"])
    problem: Exception | None = None
    try:
        installation.run(plans)
    except (ClusterError, ProgressFileError) as error:
        problem = error
    outcome = {"changed": installation.changed, **result, "transitions": progress.entries}
    if store.warning:
        outcome["warnings"] = [store.warning]
    if problem is not None:
        raise Failed(str(problem), outcome) from problem
    return outcome


def _ran(module: Any, command: list[str]) -> tuple[int, str, str]:
    status, output, errors = module.run_command(command)
    return int(status), str(output), str(errors)


def _read(
    reader: Reader, steps: Sequence[PlatformStep], names: dict[str, str]
) -> tuple[list[Planned], list[str]]:
    """The steps with their objects as they are to be applied, and everything that is wrong with them."""
    plans: list[Planned] = []
    problems: list[str] = []
    for step in steps:
        (objects,), unread = read_all(reader, [(step.name, step.sources)])
        changed, wrong = edited(ours([*objects, *step.definitions]), step.edits)
        # What could not be read is no fault of the edits.
        problems += unread or [f"{step.name}: {each}" for each in wrong]
        plans.append(Planned(step, with_images(changed, names), whole=not unread))
    return plans, problems


def _connected(module: Any, problems: Sequence[str], deadline: float) -> Api:
    try:
        return connect(module, deadline=deadline)
    except ClusterError as error:
        raise _refused([*problems, str(error)]) if problems else error from error


def _certified(api: Api, plans: Sequence[Planned]) -> list[str]:
    """Puts certificates of our own into the steps; what keeps them from being made, as sentences."""
    if missing_library():
        return ["Certificates cannot be made here: the Python package cryptography is missing. Install it."]
    now = datetime.now(timezone.utc)
    problems = []
    for plan in plans:
        try:
            plan.objects = without_cert_manager(plan.objects, lambda *where: _secret_data(api, *where), now)
        except CertificateError as error:
            problems.append(f"{plan.step.name}: {error}")
    return problems


def _secret_data(api: Api, namespace: str, name: str) -> dict[str, str] | None:
    try:
        return dict(api.get(api.resource("v1", "Secret").path(namespace, name)).get("data") or {})
    except (NotFound, Forbidden):
        return None


def _refused(problems: Sequence[str]) -> Failed:
    numbered = " ".join(f"({number}) {each}" for number, each in enumerate(problems, 1))
    one = "is 1 problem" if len(problems) == 1 else f"are {len(problems)} problems"
    return Failed(f"Nothing was changed, for there {one}: {numbered}", {"problems": list(problems)})


def _check(api: Api, plans: Sequence[Planned], record: Record, problems: list[str], *, keep: bool) -> None:
    """Adds everything that keeps the steps from being applied; claims those that are not there yet."""
    kinds = Kinds(api)
    for plan in plans:
        problems += [message for message in [find_there(api, plan, record.run_id, keep=keep)] if message]
        if not plan.there:
            problems += kinds.learn(plan)
    lacking = phrases(missing(api, rights(plans, kinds)))
    problems += [f"The user may not {each}." for each in lacking]
    # Without them what follows would fail for that reason alone.
    homes = [] if lacking else homeless(api, plans, kinds)
    problems += homes
    if lacking or homes:
        return
    earlier: list[Any] = []
    for plan in plans:
        known = [] if plan.there else [each for each in plan.objects if kinds.of(each)]
        plan.claims = claim(api, record, known, plan.step.namespace or None, False, earlier=earlier)
        earlier += plan.objects
        leave_filled_in(api, plan)
        problems += leave_others(api, plan, keep=keep)
        problems += owned_by_others(api, plan)


@dataclass
class _Installation:
    """Installs steps and keeps the record; ends at the first that fails."""

    api: Api
    store: RecordStore
    record: Record
    progress: Progress
    step_seconds: float
    changed: bool = False

    def run(self, plans: Sequence[Planned]) -> None:
        """Installs the steps; ClusterError, which names the step, where one fails."""
        # Before anything is applied, so that a run that dies in the middle knows what it may have created.
        self.store.save(self.api, self.record)
        for plan in plans:
            name = plan.step.name
            if plan.there:
                self._tell("there", f"{name} is there already and stays as it is: {plan.there}")
                continue
            try:
                changed = self._install(plan)
            except ClusterError as error:
                raise ClusterError(f"{name}: {error}") from error
            state = "installed" if changed else "as it was"
            self._tell("installed", f"{name}: {state}, {len(plan.claims)} objects")

    def _install(self, plan: Planned) -> bool:
        clock = Clock()
        deadline = clock.now() + self.step_seconds
        # Each step has its time, and in it a busy API server is asked again.
        self.api.deadline = deadline
        application = Application(self.api, self.record, self.progress, clock=clock, deadline=deadline)
        problem: Exception | None = None
        try:
            StepInstaller(application).install(plan)
        except (ClusterError, ProgressFileError) as error:
            problem = error
        self.changed = self.changed or application.changed
        save_after(self.store, self.api, self.record, problem)
        if problem is not None:
            raise problem
        return application.changed

    def _tell(self, event: str, text: str) -> None:
        self.progress.add("playbook", event, text)
