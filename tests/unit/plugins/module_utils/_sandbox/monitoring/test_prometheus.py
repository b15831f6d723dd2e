# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.monitoring import prometheus


def test_a_model_servers_own_labels_win():
    config = prometheus.configuration(Path("/t/targets.json"))["scrape_configs"][0]
    assert config["honor_labels"] is True
    assert config["file_sd_configs"] == [{"files": ["/t/targets.json"]}]


@pytest.fixture
def environment(tmp_path):
    return {"HOME": str(tmp_path), "VOLUME_TARGETS": "/t", "POD_IP": "127.1.0.9", "PORT": "9090"}


def test_main_writes_the_configuration_and_becomes_prometheus(monkeypatch, tmp_path, environment):
    monkeypatch.setattr(os, "environ", environment)
    started = []
    monkeypatch.setattr(os, "execvp", lambda file, argv: started.append((file, argv)))
    prometheus.main()
    ((file, argv),) = started
    assert file == argv[0] == "prometheus"
    assert "--web.listen-address=127.1.0.9:9090" in argv
    assert f"--storage.tsdb.path={tmp_path}/prometheus" in argv
    config = Path(next(a for a in argv if a.startswith("--config.file=")).partition("=")[2])
    assert yaml.safe_load(config.read_text()) == prometheus.configuration(Path("/t/targets.json"))


def test_a_missing_prometheus_is_one_clear_line(monkeypatch, tmp_path, environment):
    monkeypatch.setattr(os, "environ", {**environment, "PATH": str(tmp_path)})
    with pytest.raises(SystemExit, match=f"prometheus cannot be started from PATH {tmp_path}: No such file"):
        prometheus.main()
