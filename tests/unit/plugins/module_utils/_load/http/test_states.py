# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http import states
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.states import (
    CLOSED,
    IDLE,
    NEW,
    READING,
    TRANSITIONS,
    WAITING,
    IllegalStep,
    after,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.states import (
    ConnectionEvent as Event,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.states import (
    ConnectionState as State,
)

ROOM = Path(states.__file__).parents[1]


def follow(*events: Event) -> State:
    state = NEW
    for event in events:
        state = after(state, event)
    return state


def test_every_state_has_its_row_and_is_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {NEW}
    for _step in State:
        reached |= {state for start in reached for state in TRANSITIONS[start].values()}
    assert reached == set(State)


def test_every_event_happens_somewhere() -> None:
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


@pytest.mark.parametrize("state", State)
def test_any_connection_can_be_given_up_once(state: State) -> None:
    if state is CLOSED:
        with pytest.raises(IllegalStep, match="CLOSE on a connection that is CLOSED"):
            after(state, Event.CLOSE)
    else:
        assert after(state, Event.CLOSE) is CLOSED


@pytest.mark.parametrize(
    ("state", "event"),
    [(state, event) for state in State for event in Event if event not in TRANSITIONS[state]],
)
def test_a_step_that_the_table_does_not_have_raises(state: State, event: Event) -> None:
    with pytest.raises(IllegalStep, match=f"{event.name} on a connection that is {state.name}"):
        after(state, event)


def test_the_life_of_a_plain_connection() -> None:
    sent = (Event.LOOK_UP, Event.CONNECT, Event.WROTE_ALL)
    assert follow(*sent) is WAITING
    assert follow(*sent, Event.HEARD) is READING
    assert follow(*sent, Event.HEARD, Event.ANSWERED) is IDLE
    assert (
        follow(
            *sent,
            Event.HEARD,
            Event.ANSWERED,
            Event.WROTE_PART,
            Event.HEARD,
            Event.WROTE_ALL,
        )
        is WAITING
    )


def test_the_inner_loop_may_leave_a_connection_as_it_is() -> None:
    """It reads a known answer and writes the next request without a step: the two would lead back."""
    assert after(after(WAITING, Event.ANSWERED), Event.WROTE_ALL) is WAITING


def test_an_answer_is_never_whole_while_its_request_is_still_being_written() -> None:
    assert {state for state in State if Event.ANSWERED in TRANSITIONS[state]} == {
        WAITING,
        READING,
    }


def test_nobody_sets_a_state_but_by_a_step() -> None:
    setting = re.compile(r"\.state = (?!after\(self\.state, event\)|NEW$)")
    found = [
        f"{path.name}: {line.strip()}"
        for part in ("http", "engine")
        for path in (ROOM / part).glob("*.py")
        for line in path.read_text().splitlines()
        if setting.search(line)
    ]
    assert found == []
