# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's load on a cluster: what it is asked to be, whose it is, and how it is created and removed."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.arguments import LOAD_ARGUMENTS
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.ensure import options_from
from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod import package

from ..client.api import Api, Json
from ..client.auth import connect
from ..client.errors import ClusterError, NotFound, Refusal
from ..client.watch import Clock
from ..ownership.application import Application, apply
from ..ownership.claims import claim
from ..ownership.ownership import bind, open_store, save_after
from ..ownership.record import Record, belongs, group_of
from ..ownership.removal import Removal, plan
from .objects import TLS_FOLDER, Wanted
from .talk import Talk

# The first Kubernetes in which the failure of one part of an Indexed Job is not the end of all others.
OLDEST = (1, 29)
_TLS = {"ca.crt": "ca_file", "tls.crt": "client_cert", "tls.key": "client_key"}
_LINGER_SECONDS = 1800.0
CONNECT_SECONDS = 15.0
"""How long a network may take to let a new pod out."""
_KINDS = (("", "ConfigMap"), ("", "Secret"), ("batch", "Job"))


class LoadRun:
    """What the states of the module work with."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.params: Mapping[str, Any] = module.params
        self.store = open_store(module)
        self.clock = Clock()
        self.api: Api = connect(module)
        self.record = self.store.load(self.api) or Record(self.store.run_id)
        bind(self.api, self.record, self.store.path)
        self.talk = Talk(self.api, self.params["name"], self.params["namespace"])
        self.progress = Progress(self.params["progress_file"], time.time)

    def say(self, text: str) -> None:
        """A line for whoever waits."""
        self.progress.add("playbook", "load", text)

    def own_job(self) -> Optional[Json]:
        """The load's Job, None where there is none; Refusal where it is not this run's."""
        job = self.talk.job()
        if job is not None and not belongs(job, self.record.run_id):
            raise Refusal(
                f"Job {self.talk.namespace}/{self.talk.name} is there and was not created by run "
                f"{self.record.run_id}. Nothing was changed; choose another name or namespace for the load."
            )
        return job

    def wanted(self) -> Wanted:
        """The load as it is asked for, checked. Raises ClusterError, or LoadError for what it sends."""
        self._require_version()
        # Those that name the cluster have options of the same names, for its certificates.
        given = {name: self.params[name] for name in ("name", *LOAD_ARGUMENTS)}
        options = options_from({**given, **self._tls()})
        ends = options.duration or options.calls or options.planned_span
        if self.params["state"] == "finished" and not ends:
            raise ClusterError(
                "A load with no duration and no calls, and with no profile or send_times that end, never "
                "finishes: set one of them, or use state=started."
            )
        count = self.params["count"]
        if count < 1:
            raise ClusterError(f"count must be 1 or more, not {count}.")
        for part in range(count):
            options.part_of(part, count).check()
        if not self.params["image"]:
            raise ClusterError("image must name an image with Python 3.9 or later.")
        longest = options.longest_request / 1e9
        span = (options.duration or options.max_duration) / 1e9
        patience = float(self.params["ready_timeout"]) + _LINGER_SECONDS
        return Wanted(
            name=self.params["name"],
            namespace=self.params["namespace"],
            count=count,
            image=self.params["image"],
            engine=package.zipped(options.grpc),
            described={
                "options": options.to_json(),
                "parts": count,
                "connect": CONNECT_SECONDS if self.params["connect_check"] else 0.0,
                "patience": patience,
            },
            lifetime=patience + span + longest + _LINGER_SECONDS,
            longest_request=longest,
            resources=self.params["resources"] or {},
            node_selector=self.params["node_selector"] or {},
            tolerations=tuple(self.params["tolerations"] or ()),
            pull_secrets=tuple(self.params["pull_secrets"] or ()),
            tls_secret=self.params["tls_secret"] or "",
        )

    def _require_version(self) -> None:
        reported = self.api.get("/version")
        numbers = [re.match(r"\d*", str(reported.get(name) or "")) for name in ("major", "minor")]
        version = tuple(int(each[0]) if each and each[0] else 0 for each in numbers)
        if version < OLDEST:
            raise ClusterError(
                f"{self.api.host} is Kubernetes {reported.get('gitVersion')}. A load from pods needs "
                f"{OLDEST[0]}.{OLDEST[1]} or later, where one generator's death does not end the others "
                "(backoffLimitPerIndex). Send the load from hosts."
            )

    def _tls(self) -> dict[str, str]:
        """The files that the pods have of the Secret with certificates."""
        name = self.params["tls_secret"]
        if not name:
            return {}
        path = self.api.resource("v1", "Secret").path(self.talk.namespace, name)
        try:
            keys = (self.api.get(path).get("data") or {}).keys()
        except NotFound:
            raise ClusterError(
                f"The Secret {self.talk.namespace}/{name} of tls_secret is not there."
            ) from None
        found = {option: f"{TLS_FOLDER}/{key}" for key, option in _TLS.items() if key in keys}
        if not found:
            raise ClusterError(
                f"The Secret {self.talk.namespace}/{name} of tls_secret has none of {', '.join(_TLS)}."
            )
        return found

    def create(self, new: list[Json]) -> None:
        """Apply the objects, on record before and after; in check mode ask whether they would be taken."""
        claims = claim(self.api, self.record, new, self.talk.namespace, bool(self.module.check_mode))
        there = [one.entry for one in claims if one.entry.existed]
        if there:
            raise Refusal(
                f"{', '.join(map(str, there))} {'are' if len(there) > 1 else 'is'} there and not this run's. "
                "Nothing was changed; choose another name or namespace for the load."
            )
        if self.module.check_mode:
            for one in claims:
                apply(self.api, one, dry_run=True)
            return
        self.store.save(self.api, self.record)
        deadline = self.clock.now() + self.params["ready_timeout"]
        application = Application(self.api, self.record, self.progress, clock=self.clock, deadline=deadline)
        problem: Exception | None = None
        try:
            application.run(claims)
        except ClusterError as error:
            problem = error
        save_after(self.store, self.api, self.record, problem)
        if problem is not None:
            raise problem

    def mine(self) -> list[Any]:
        """The entries on record that are of this load."""
        keys = {(group, kind, self.talk.namespace, self.talk.name) for group, kind in _KINDS}
        return [
            each
            for each in self.record.entries
            if (group_of(each.api_version), *each.key[1:]) in keys and not each.existed
        ]

    def remove(self) -> list[Json]:
        """Delete the load's objects that this run created, and wait until they are gone; returns which."""
        mine = self.mine()
        if not mine:
            return []
        part = Record(self.record.run_id, mine, self.record.cluster)
        planned = plan(self.api, part, self.clock.sleep)
        if self.module.check_mode:
            return [each.ref for each in planned.doomed]
        removal = Removal(
            self.api,
            self.record,
            self.progress,
            clock=self.clock,
            deadline=self.clock.now() + self.params["stop_timeout"],
            save=lambda: self.record.save(self.store.path),
        )
        problem: Exception | None = None
        try:
            removal.run(planned.doomed)
        except ClusterError as error:
            problem = error
        if problem is None and not planned.left:
            for entry in mine:
                self.record.drop(entry)
        save_after(self.store, self.api, self.record, problem)
        if problem is not None:
            raise problem
        if planned.left:
            raise ClusterError(f"Not all of the load is gone: {'; '.join(planned.left)}. It stays on record.")
        return [entry.ref for entry in removal.deleted]
