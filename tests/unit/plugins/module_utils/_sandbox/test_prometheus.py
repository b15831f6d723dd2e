# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import prometheus

POD = {
    "__address__": "127.1.0.5",
    "__meta_kubernetes_namespace": "default",
    "__meta_kubernetes_pod_name": "p-1",
    "__meta_kubernetes_pod_ip": "127.1.0.5",
    "__meta_kubernetes_pod_phase": "Running",
    "__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true",
    "__meta_kubernetes_pod_annotation_prometheus_io_port": "9090",
    "__meta_kubernetes_pod_label_serving_knative_dev_revision": "r1",
}


def relabelled(labels):
    """What Prometheus' relabelling makes of a target's labels; None if the target is dropped."""
    labels = dict(labels)
    for rule in prometheus.configuration("/k")["scrape_configs"][0]["relabel_configs"]:
        source = rule.get("separator", ";").join(labels.get(name, "") for name in rule["source_labels"])
        match = re.fullmatch(rule.get("regex", "(.*)"), source)
        action = rule.get("action", "replace")
        if (action == "keep" and not match) or (action == "drop" and match):
            return None
        if action == "replace" and match:
            labels[rule["target_label"]] = match.group(1)
    return {name: value for name, value in labels.items() if not name.startswith("__meta")}


def test_an_annotated_pod_is_scraped_at_its_port():
    assert relabelled(POD) == {
        "__address__": "127.1.0.5:9090",
        "namespace": "default",
        "pod": "p-1",
        "revision": "r1",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"__meta_kubernetes_pod_annotation_prometheus_io_scrape": "false"},
        {"__meta_kubernetes_pod_annotation_prometheus_io_scrape": ""},
        {"__meta_kubernetes_pod_phase": "Succeeded"},
        {"__meta_kubernetes_pod_phase": "Pending"},
    ],
)
def test_other_pods_are_not_scraped(change):
    assert relabelled({**POD, **change}) is None


def test_a_model_servers_own_labels_win():
    config = prometheus.configuration("/pod/kubeconfig")["scrape_configs"][0]
    assert config["honor_labels"] is True
    assert config["kubernetes_sd_configs"] == [{"role": "pod", "kubeconfig_file": "/pod/kubeconfig"}]


def test_main_writes_the_configuration_and_becomes_prometheus(monkeypatch, tmp_path):
    environment = {"HOME": str(tmp_path), "KUBECONFIG": "/k", "POD_IP": "127.1.0.9", "PORT": "9090"}
    monkeypatch.setattr(os, "environ", environment)
    started = []
    monkeypatch.setattr(os, "execvp", lambda file, argv: started.append((file, argv)))
    prometheus.main()
    ((file, argv),) = started
    assert file == argv[0] == "prometheus"
    assert "--web.listen-address=127.1.0.9:9090" in argv
    assert f"--storage.tsdb.path={tmp_path}/prometheus" in argv
    config = Path(next(a for a in argv if a.startswith("--config.file=")).partition("=")[2])
    assert yaml.safe_load(config.read_text()) == prometheus.configuration("/k")


def test_a_missing_prometheus_is_one_clear_line(monkeypatch, tmp_path):
    environment = {"HOME": str(tmp_path), "KUBECONFIG": "/k", "POD_IP": "127.1.0.9", "PORT": "9090"}
    monkeypatch.setattr(os, "environ", {**environment, "PATH": str(tmp_path)})
    with pytest.raises(SystemExit, match=f"prometheus cannot be started from PATH {tmp_path}: No such file"):
        prometheus.main()
