# SPDX-License-Identifier: GPL-3.0-or-later
"""What the observer writes of what it is told."""

from __future__ import annotations

from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.coverage import (
    UnobservedInterval,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.recorder import (
    EXPERIMENT,
    INFERENCESERVICE,
    JOBS,
    NODE_EVENTS,
    ObservationRecorder,
)
from ansible_collections.iter8.kfserving.tests.support import standard as made


class Written:
    """A recorder and its two files."""

    def __init__(self, experiment: str = "e") -> None:
        self.observations: list[dict[str, Any]] = []
        self.timeline: list[dict[str, Any]] = []
        self.recorder = ObservationRecorder("m", experiment, self.observations.append, self.timeline.append)

    def see(self, feed: str, obj: dict[str, Any], at: float, kind: str = "present") -> None:
        self.recorder.take(Notice(feed, kind, at, obj["metadata"]["name"], obj), at)

    @property
    def events(self) -> list[tuple[float, str, str]]:
        return [(row["time"], row["source"], row["event"]) for row in self.timeline]


def metadata(name: str, uid: str, version: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "default", "uid": uid, "resourceVersion": version, **more}


def service(version: str, *traffic: tuple[str, int], uid: str = "u1") -> dict[str, Any]:
    predictor = {
        "latestCreatedRevision": traffic[-1][0],
        "latestReadyRevision": traffic[-1][0],
        "traffic": [{"revisionName": name, "percent": percent} for name, percent in traffic],
    }
    status = {"components": {"predictor": predictor}, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"kind": "InferenceService", "metadata": metadata("m", uid, version), "status": status}


def pod(version: str, ready: str, **status: Any) -> dict[str, Any]:
    owner = [{"kind": "InferenceService", "name": "m", "uid": "u1"}]
    labels = {"serving.knative.dev/revision": "m-1"}
    whole = metadata("p", "u9", version, ownerReferences=owner, labels=labels)
    conditions = [{"type": "Ready", "status": ready}]
    return {"kind": "Pod", "metadata": whole, "status": {"conditions": conditions, **status}}


def test_each_version_is_kept_and_each_change_is_a_line():
    written = Written()
    written.see(INFERENCESERVICE, service("5", ("m-1", 100)), 10.0)
    written.see(INFERENCESERVICE, service("7", ("m-1", 90), ("m-2", 10)), 11.5)
    assert [row["object"]["metadata"]["resourceVersion"] for row in written.observations] == ["5", "7"]
    assert [row["time"] for row in written.observations] == [10.0, 11.5]
    traffic = [row for row in written.timeline if row["event"] == "traffic"]
    assert [(row["time"], row["resource_version"]) for row in traffic] == [(10.0, "5"), (11.5, "7")]
    assert traffic[1]["data"]["traffic"] == {"m-1": 90, "m-2": 10}
    assert traffic[1]["text"].startswith("m  ")


def test_what_belongs_to_another_is_not_kept():
    written = Written()
    written.see(INFERENCESERVICE, service("5", ("m-1", 100)), 10.0)
    stranger = pod("6", "True")
    stranger["metadata"]["ownerReferences"][0]["uid"] = "other"
    written.see("pod", stranger, 11.0)
    assert len(written.observations) == 1


def test_a_pod_that_is_killed_for_its_memory_and_restarted():
    written = Written()
    written.see(INFERENCESERVICE, service("5", ("m-1", 100)), 10.0)
    written.see("pod", pod("6", "True", containerStatuses=[{"name": "c", "restartCount": 0}]), 11.0)
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    again = [{"name": "c", "restartCount": 1, "lastState": ended}]
    written.see("pod", pod("7", "False", containerStatuses=again), 12.0)
    written.see("pod", pod("8", "False"), 13.0, "deleted")
    events = [event for _at, source, event in written.events if source == "pod"]
    assert events == ["ready", "unready", "restarted", "gone"]
    restarted = next(row for row in written.timeline if row["event"] == "restarted")
    assert restarted["data"]["reason"] == "OOMKilled"
    assert (restarted["data"]["pod"], restarted["data"]["revision"]) == ("p", "m-1")


def test_what_had_happened_to_a_pod_before_it_was_found_is_no_news():
    written = Written()
    old = [{"name": "c", "restartCount": 4, "lastState": {"terminated": {"reason": "OOMKilled"}}}]
    written.see(INFERENCESERVICE, service("5", ("m-1", 100)), 10.0)
    written.see("pod", pod("6", "True", containerStatuses=old), 11.0)
    written.recorder.began(12.0)
    anew = [{"name": "c", "restartCount": 5, "lastState": {"terminated": {"reason": "OOMKilled"}}}]
    written.see("pod", pod("7", "True", containerStatuses=anew), 13.0)
    assert [(at, event) for at, source, event in written.events if source == "pod"] == [
        (11.0, "ready"),
        (13.0, "restarted"),
    ]
    assert [row.get("listed", False) for row in written.observations] == [True, True, False]


def test_events_of_another_namespace_are_about_others_of_the_name():
    written = Written()
    written.see(INFERENCESERVICE, service("5", ("m-1", 100)), 10.0)
    written.see("pod", {**pod("6", "True"), "spec": {"nodeName": "n1"}}, 11.0)
    for name, kind in (("m", "InferenceService"), ("n1", "Node")):
        about = {"kind": kind, "name": name, "namespace": "default"}
        event = {"kind": "Event", "metadata": metadata(f"{name}.1", name, "7"), "involvedObject": about}
        written.see(NODE_EVENTS, event, 12.0)
    assert [row["object"]["metadata"]["name"] for row in written.observations[2:]] == ["n1.1"]


def test_a_service_of_the_same_name_made_anew_is_another():
    written = Written()
    written.see(INFERENCESERVICE, service("5", ("m-1", 100)), 10.0)
    written.see(INFERENCESERVICE, service("9", ("m-1", 100), uid="u2"), 11.0)
    assert [at for at, _source, event in written.events if event == "traffic"] == [10.0, 11.0]


def test_a_job_that_comes_before_its_experiment_is_told_with_its_own_time():
    written = Written()
    job = {"kind": "Job", "metadata": metadata("finish-handler-e-abc", "j", "3"), "status": {}}
    written.see(JOBS, job, 10.0)
    assert written.timeline == []
    run = {
        "apiVersion": "iter8.tools/v2alpha1",
        "kind": "Experiment",
        "metadata": metadata("e", "x-abc", "4"),
        "status": {
            "conditions": [{"type": "Completed", "status": "False", "reason": "StartHandlerLaunched"}]
        },
    }
    written.see(EXPERIMENT, run, 11.0)
    assert (10.0, "experiment", "handler") in written.events
    assert written.events == sorted(written.events, key=lambda event: event[0])
    other = {"kind": "Job", "metadata": metadata("finish-handler-e-xyz", "k", "5"), "status": {}}
    written.see(JOBS, other, 12.0)
    assert len([row for row in written.timeline if row["event"] == "handler"]) == 1


def test_what_was_not_observed_is_in_the_timeline_where_a_verdict_rests_on_it():
    written = Written()
    written.recorder.unobserved(INFERENCESERVICE, UnobservedInterval(10.0, 12.5, "no answer"), 12.5)
    written.recorder.unobserved("pod", UnobservedInterval(10.0, 12.5, "no answer"), 12.5)
    assert [row["feed"] for row in written.observations] == [INFERENCESERVICE, "pod"]
    (line,) = written.timeline
    assert line["data"] == {"feed": INFERENCESERVICE, "from": 10.0, "to": 12.5, "why": "no answer"}
    assert "2.50 s" in line["text"]
    written.recorder.unobserved(
        INFERENCESERVICE, UnobservedInterval(13.0, 15.5, "no answer", unchanged=True), 15.5
    )
    assert written.timeline[-1]["data"]["unchanged"] is True


def test_a_kind_that_may_not_be_read_is_said():
    written = Written()
    written.recorder.refused("event", "events is forbidden", 10.0)
    assert written.observations == [
        {"time": 10.0, "feed": "event", "type": "refused", "message": "events is forbidden"}
    ]
    assert written.timeline == []


def test_what_the_cluster_says_is_printable_in_both_files():
    written = Written()
    shout = "boom\x1b[2K\r\x9b32mPASS\n\u202e\ud800"
    shown = r"boom\x1b[2K\r\x9b32mPASS\n\u202e\ud800"
    obj = service("5", ("m-1", 100))
    obj["status"]["conditions"] = [{"type": "Ready", "status": "False", "reason": shout, "message": shout}]
    written.see(INFERENCESERVICE, service("4", ("m-1", 100)), 9.0)
    written.see(INFERENCESERVICE, obj, 10.0)
    written.recorder.refused("pod", shout, 11.0)
    written.recorder.unobserved(INFERENCESERVICE, UnobservedInterval(11.0, 12.0, shout), 12.0)
    _before, first, refused, unobserved = written.observations
    assert first["object"]["status"]["conditions"][0]["message"] == shown
    assert refused["message"] == unobserved["why"] == shown
    assert shown in written.timeline[-1]["text"]
    assert not any(set("\x1b\x9b\r\n\u202e\ud800") & set(row["text"]) for row in written.timeline)
    assert any("boom" in row["text"] for row in written.timeline[:-1])


def test_in_standard_mode_what_the_children_change_is_a_line_of_the_inferenceservice():
    written = Written()
    written.see(INFERENCESERVICE, made.service(), 1.0)
    written.see("replicaset", made.replicaset(made.STABLE), 2.0)
    written.see("deployment", made.deployment("m-predictor"), 3.0)
    written.see("httproute", made.route({"m-predictor": 1}), 4.0)
    rows = [(row["time"], row["event"], row["text"]) for row in written.timeline]
    assert rows == [
        (1.0, "ready", "m  InferenceService ready"),
        (2.0, "revision_created", f"m  revision {made.STABLE} created"),
        (3.0, "revision_ready", f"m  revision {made.STABLE} ready"),
        (3.0, "traffic", f"m  traffic: {made.STABLE} 100 %"),
    ]
