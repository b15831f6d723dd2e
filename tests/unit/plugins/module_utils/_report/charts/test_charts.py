# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.pages import page_text, read_page


def test_charts_carry_their_text_alternative_and_marks(tmp_path: Path) -> None:
    checker, html = read_page(runs.judged(runs.lossy(), tmp_path))
    assert checker.seen["svg"] == 4
    assert checker.attributes.count(("role", "img")) == 4
    descriptions = re.findall(r"<desc [^>]*>(.*?)</desc>", html)
    assert "promotion from 08:01:15.000 UTC, 40 requests and 18 lost" in descriptions[0]
    assert "Outage on keep-alive connections from 08:01:15.400 UTC to 08:01:16.250 UTC." in descriptions[0]
    assert html.count('class="mark"') == 2 * 27
    assert html.count('class="outage"') == 2
    assert "status 503 at 08:01:16.000 UTC, the canary" in html


def test_an_outage_without_end_reaches_to_the_end(tmp_path: Path) -> None:
    run = runs.lossy()
    run.own["outages"][0]["recovered"] = None
    _unused, html = read_page(runs.judged(run, tmp_path))
    assert "Outage on keep-alive connections from 08:01:15.400 UTC to the end." in html
    assert "outage of 15 s on keep-alive connections from" in html
    assert "not recovered" in html


def test_each_kind_of_connection_shows_its_gap(tmp_path: Path) -> None:
    run = rollouts.good()
    text = page_text(runs.judged(run, tmp_path))
    assert "longest gap between successes 0.21 s (0.22 s on keep-alive, 0.23 s on new connections);" in text
    assert "Connections Requests Lost Longest gap keep-alive 4500 0 0.22 s new 4500 0 0.23 s" in text
    run.own["connection_modes"]["new"].update(requests=0, longest_success_gap=None)
    text = page_text(runs.judged(run, tmp_path))
    assert "new 0 0 –" in text


def test_a_time_without_a_watch_is_shown_pale(tmp_path: Path) -> None:
    run = rollouts.good()
    assert run.timeline is not None
    assert 'class="unobserved"' not in read_page(runs.judged(run, tmp_path))[1]
    next(e for e in run.timeline if e["time"] == rollouts.START + 45)["data"]["first"] = True
    _unused, html = read_page(runs.judged(run, tmp_path))
    assert html.count('class="unobserved"') == 2
    assert "not watched from 08:00:40.000 UTC to 08:00:45.000 UTC" in html
    assert "Pale: nothing watched the traffic then." in html


def test_a_time_in_which_the_generator_stood_still_is_shown(tmp_path: Path) -> None:
    run = rollouts.good()
    assert 'class="stall"' not in read_page(runs.judged(run, tmp_path))[1]
    run.own["stalls"] = [{"start": rollouts.START + 33.0, "seconds": 3.2}]
    _unused, html = read_page(runs.judged(run, tmp_path))
    assert html.count('class="stall"') == 2, "one chart for the desk, one for the phone"
    assert "The load generator stood still for 3.20 s from 08:00:33.000 UTC." in html
    assert "load generator stood still. All times" in page_text(runs.judged(run, tmp_path))


def test_histograms_by_revision_are_shown_where_there_are_any(tmp_path: Path) -> None:
    run = rollouts.good()
    run.own["response_time_by_revision"] = {rollouts.CANARY: rollouts.histogram(4475)}
    assert f"The canary {rollouts.CANARY}: 4475 requests, median" in page_text(runs.judged(run, tmp_path))
    assert "All revisions together: 9000 requests, median" in page_text(
        runs.judged(rollouts.good(), tmp_path)
    )
