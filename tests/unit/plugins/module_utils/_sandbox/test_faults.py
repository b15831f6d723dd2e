# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import faults


@pytest.mark.parametrize(
    ("data", "active"),
    [
        ({}, {}),
        ({"canary-5xx": "{}"}, {"canary-5xx": {"share": 0.3}}),
        ({"canary-5xx": ""}, {"canary-5xx": {"share": 0.3}}),
        ({"canary-5xx": ' {"share": 1} '}, {"canary-5xx": {"share": 1.0}}),
        ({"canary-slow": "{}"}, {"canary-slow": {"seconds": 1.2}}),
        ({"canary-never-ready": "{}"}, {"canary-never-ready": {}}),
        (
            {"canary-slow": '{"seconds": 0}', "canary-5xx": "{}"},
            {"canary-slow": {"seconds": 0.0}, "canary-5xx": {"share": 0.3}},
        ),
    ],
)
def test_config_map_becomes_faults_with_all_parameters(
    data: dict[str, str], active: dict[str, dict[str, float]]
) -> None:
    assert faults.parse(data) == active


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"canary-5x": "{}"},
            "Unknown fault canary-5x. Known faults: canary-5xx, canary-never-ready, canary-slow, "
            "canary-truncated, kserve-conflict, kserve-unweighted.",
        ),
        ({"canary-5xx": "{"}, "not JSON"),
        ({"canary-5xx": "[]"}, "must be a JSON object"),
        ({"canary-5xx": '{"rate": 1}'}, "has no parameter rate. It takes: share."),
        ({"canary-never-ready": '{"rate": 1}'}, "It takes: none."),
        ({"canary-5xx": '{"share": 1.1}'}, "must be a number from 0 to 1, not 1.1."),
        ({"canary-5xx": '{"share": -0.1}'}, "must be a number from 0 to 1, not -0.1."),
        ({"canary-5xx": '{"share": "1"}'}, 'not "1".'),
        ({"canary-5xx": '{"share": true}'}, "not true."),
        ({"canary-5xx": '{"share": null}'}, "not null."),
        ({"canary-5xx": '{"share": NaN}'}, "not NaN."),
    ],
)
def test_bad_data_gets_one_clear_error(data: dict[str, str], message: str) -> None:
    with pytest.raises(faults.FaultError) as error:
        faults.parse(data)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_only_a_canary_gets_faults_and_reads_them_back() -> None:
    active = faults.parse({"canary-5xx": '{"share": 0.5}', "canary-slow": "{}"})
    assert faults.revision_environment(active, canary=False) == {}
    assert faults.revision_environment({}, canary=True) == {}
    environment = faults.revision_environment(active, canary=True)
    assert list(environment) == [faults.ENVIRONMENT]
    assert faults.from_environment(environment[faults.ENVIRONMENT]) == active
    assert faults.from_environment("") == {}


@pytest.mark.parametrize("fault", faults.CATALOGUE.values(), ids=lambda fault: fault.name)
def test_every_entry_is_complete(fault: faults.Fault) -> None:
    assert fault.summary.endswith(".")
    assert faults.parse({fault.name: "{}"})[fault.name] == {p.name: p.default for p in fault.parameters}
