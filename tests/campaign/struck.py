# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole run as a user has it, for a series of kills: the collection's own playbooks, teardown included."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from arena import ROOT, Arena
from course import SAMPLES, Course

MARK = "ITER8_KFSERVING_KILLED_RUN"
"""In the environment of all that a run starts, wherever that goes."""
_TASK = re.compile(r"^TASK \[(?:.* : )?(.*)\] \*", re.MULTILINE)


class Struck(Course):
    """One run of the series. Its load, observer and record bear the name that the playbooks give them."""

    limit_seconds = 420.0

    def __init__(self, arena: Arena, name: str, folder: Path) -> None:
        super().__init__(arena, name, 0, folder, {})
        self.name = name
        self.environment = {MARK: name}

    @property
    def job(self) -> str:
        """The name of the run's record, load and observer: of a cluster that is named by its context, that
        and a hash of it."""
        context = self.context
        return f"{context}-{hashlib.sha256(context.encode()).hexdigest()[:8]}"

    @property
    def context(self) -> str:
        """The cluster, as the run's user names it."""
        return f"sandbox-{self.arena.name}"

    @property
    def pid(self) -> int:
        """The playbook's process; 0 before it was started and after it has ended."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def start(self) -> None:
        """Deploy the default model, roll out, judge: e2e without what the sandbox has already, and no end."""
        self.artifacts.mkdir(parents=True)
        self.write_samples()
        self.play(ROOT / "playbooks/e2e.yml", "--tags", "rollout,verify", "--skip-tags", "preflight")

    def teardown(self) -> int:
        """Remove what the run left, as a user does; the exit status."""
        self.play(ROOT / "playbooks/teardown.yml")
        assert self._process is not None
        self.finish()
        return self._process.returncode

    def has_begun(self) -> bool:
        """Whether there is anything to be removed: before its record, a run changes nothing."""
        return (self.state / "runs" / f"{self.job}.json").exists()

    def task(self) -> str:
        """The task that the playbook has come to."""
        try:
            titles = _TASK.findall((self.folder / "playbook.log").read_text(errors="replace"))
        except FileNotFoundError:
            return ""
        return str(titles[-1]) if titles else ""

    def variables(self) -> dict[str, Any]:
        """What a user names: the cluster, the files, and times short enough for a series."""
        return {
            "iter8_kfserving_kubeconfig": str(self.arena.where.kubeconfig),
            "iter8_kfserving_context": self.context,
            "iter8_kfserving_artifacts": str(self.artifacts),
            "quickstart_default_file": str(self.folder / "default.yaml"),
            "quickstart_wait_timeout": 60,
            "rollout_canary_file": str(self.folder / "canary.yaml"),
            "rollout_experiment_file": str(self.folder / "experiment.yaml"),
            "rollout_payload_file": str(SAMPLES / "input.json"),
            "rollout_canary_timeout": 40,
            "rollout_experiment_timeout": 60,
            "rollout_lead_seconds": 1,
            "rollout_settle_seconds": 2,
            "rollout_load_rate": 20,
            "rollout_load_timeout": "3s",
            "rollout_revision_header": "X-Revision",
            "verify_access_log_seconds": 1,
        }
