# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: a fresh rollout by the collection's own roles, a fault in the middle of it, and what was said."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer import job as observer
from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes as load_process
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import job
from ansible_collections.iter8.kfserving.tests.support import descent
from arena import EXPERIMENTS, NAMESPACE, ROOT, SERVICES, Arena, CampaignError, until
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

HERE = Path(__file__).resolve().parent
SAMPLES = ROOT / "samples/quickstart"
LIMIT_SECONDS = 300.0
_POLL_SECONDS = 0.05


class NoEffect(Exception):
    """The fault did not take effect, so the verdict proves nothing; the text says what was looked for."""


def name_of(fault: str, seed: int) -> str:
    """The run's InferenceService and Experiment. A label must hold `finish-handler-<it>-<12 digits>`."""
    return f"{fault[:28].strip('-')}-{seed}"


class Course:
    """A run and all that a fault may want of it. Its randomness is its seed's, so it can be run again."""

    limit_seconds = LIMIT_SECONDS

    def __init__(self, arena: Arena, fault: str, seed: int, folder: Path, settings: dict[str, Any]) -> None:
        self.arena = arena
        self.seed = seed
        self.random = random.Random(f"{fault} {seed}")
        self.name = name_of(fault, seed)
        self.folder = folder
        self.artifacts = folder / "artifacts"
        self.settings = settings
        self.notes: dict[str, Any] = {}
        self.environment: dict[str, str] = {}
        self.began = time.time()
        self._process: subprocess.Popen[bytes] | None = None

    # -- running

    def start(self) -> None:
        """Apply the default model and start the playbook, which begins by waiting for the model."""
        self.artifacts.mkdir(parents=True)
        self.write_samples()
        self.arena.create(SERVICES, yaml.safe_load((self.folder / "default.yaml").read_text()))
        self.play(HERE / "rollout.yml")

    def play(self, playbook: Path, *arguments: str) -> None:
        """Start a playbook with the run's variables, in a session of its own."""
        variables = self.folder / "variables.json"
        variables.write_text(json.dumps(self.variables()))
        environment = {
            **self.arena.env,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "KUBECONFIG": "/nonexistent/must-not-be-used",
            **self.environment,
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook)]
        self.began = time.time()
        with open(self.folder / "playbook.log", "ab") as log:
            self._process = subprocess.Popen(
                [*command, "-e", f"@{variables}", *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def going(self) -> bool:
        """Whether the playbook runs. One that takes too long is killed."""
        assert self._process is not None
        if self._process.poll() is not None:
            return False
        if time.time() - self.began > self.limit_seconds:
            self.kill()
            raise CampaignError(
                f"The run took more than {self.limit_seconds:g} s; see {self.folder}/playbook.log."
            )
        return True

    def finish(self) -> None:
        """Wait for the playbook."""
        while self.going():
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End the playbook and what it has in its session."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """The playbook, its workers and its modules stand still; the load, which is on its own, does not."""
        assert self._process is not None
        stopped = descent.halt(self._process.pid)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGCONT)

    def clean_up(self) -> None:
        """Remove the run's load and observer, should they still run, and its objects.

        The controller takes its time to drain them; the next run has other names and need not wait for that.
        """
        job.remove(self.loads, self.name)
        observer.remove(str(self.state / "observers"), self.name)
        self.arena.delete(EXPERIMENTS, self.name)
        self.arena.delete(SERVICES, self.name)

    def verdict(self) -> Any:
        """What was said."""
        try:
            return json.loads((self.artifacts / "verdict.json").read_text())
        except FileNotFoundError:
            raise CampaignError(f"There is no verdict; see {self.folder}/playbook.log.") from None

    def write_samples(self) -> None:
        """The quickstart's samples under this run's name, with a short experiment."""
        for name in ("default", "canary", "experiment"):
            document = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())
            document["metadata"]["name"] = self.name
            if name == "experiment":
                iterations = self.settings.get("iterations", 6)
                document["spec"]["duration"] = {"intervalSeconds": 1, "maxIterations": iterations}
            if name == "canary" and "canary_env" in self.settings:
                document["spec"]["predictor"]["tensorflow"]["env"] = self.settings["canary_env"]
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(document))

    def variables(self) -> dict[str, Any]:
        """What the playbooks are told."""
        return {
            "iter8_kfserving_kubeconfig": str(self.arena.where.kubeconfig),
            "iter8_kfserving_context": f"sandbox-{self.arena.name}",
            "iter8_kfserving_run_id": self.name,
            "iter8_kfserving_record": str(self.folder / "record.json"),
            "iter8_kfserving_artifacts": str(self.artifacts),
            "rollout_namespace": NAMESPACE,
            "rollout_canary_file": str(self.folder / "canary.yaml"),
            "rollout_experiment_file": str(self.folder / "experiment.yaml"),
            "rollout_payload_file": str(SAMPLES / "input.json"),
            "rollout_canary_timeout": self.settings.get("canary_timeout", 30),
            "rollout_experiment_timeout": self.settings.get("experiment_timeout", 60),
            "rollout_lead_seconds": 2,
            "rollout_settle_seconds": self.settings.get("settle", 3),
            "rollout_load_name": self.name,
            "rollout_load_rate": self.settings.get("rate", 50),
            "rollout_load_timeout": "3s",
            "rollout_revision_header": "X-Revision",
        }

    # -- looking

    def timeline(self) -> list[dict[str, Any]]:
        """What the rollout has told so far; a line that is being written is left for later."""
        try:
            text = (self.artifacts / "timeline.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, event: str) -> None:
        """Wait for an event of the timeline."""

        def seen() -> bool:
            return any(moment["event"] == event for moment in self.timeline())

        self.wait_until(seen, f"the event {event}")

    def wait_until(self, check: Callable[[], Any], what: str) -> None:
        """Wait for something that the API server tells."""
        while True:
            with contextlib.suppress(ApiException, HTTPError):
                if check():
                    return
            if not self.going():
                raise NoEffect(f"the run ended before {what}")
            time.sleep(_POLL_SECONDS)

    def wait_iteration(self, number: int) -> None:
        """Wait until the Experiment has completed this many iterations."""

        def done() -> bool:
            status = self.arena.experiment(self.name).get("status", {})
            return bool(status.get("completedIterations", 0) >= number)

        self.wait_until(done, f"iteration {number} was completed")

    def wait_completed(self) -> None:
        """Wait until the Experiment says it is completed: its winner is about to be promoted."""

        def done() -> bool:
            conditions = self.arena.experiment(self.name).get("status", {}).get("conditions", [])
            return any(c["type"] == "ExperimentCompleted" and c["status"] == "True" for c in conditions)

        self.wait_until(done, "the Experiment was completed")

    def wait_for_task(self, title: str) -> None:
        """Wait until the playbook has come to a task."""
        log = self.folder / "playbook.log"
        self.wait_until(lambda: title in log.read_text(), f"the task {title!r} began")

    def baseline(self) -> str:
        """The revision that was there first, as the API has it."""
        for moment in self.timeline():
            if moment["event"] == "canary_applied":
                return str(moment["data"]["baseline"])
        raise CampaignError("The canary has not been applied yet.")

    def canary(self) -> str:
        """The other revision, once there is one."""
        baseline = self.baseline()

        def created() -> str:
            name = str(self.arena.predictor(self.name).get("latestCreatedRevision", ""))
            return name if name != baseline else ""

        return str(until(created, 60, "the canary's revision is there"))

    def requests(self) -> list[dict[str, Any]]:
        """Envoy's record of the requests of this run."""
        return list(self.arena.access_log(self.began, f"{self.name}.{NAMESPACE}."))

    @property
    def state(self) -> Path:
        """Where the collection keeps its state."""
        return Path(self.arena.env["XDG_STATE_HOME"]) / "iter8-kfserving"

    @property
    def loads(self) -> str:
        """The state folder of loads."""
        return str(self.state / "loads")

    def signal_load(self, number: int) -> bool:
        """Signal the load generator; False if it does not run."""
        record = Path(self.loads) / self.name / "process.json"
        return record.exists() and load_process.send(json.loads(record.read_text()), number)
