# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout's driver sees of the cluster at one moment, and what a rollout starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..gates.other import Measured, Pods
from ..gates.window import Counted
from ..objects.tree import generation_of, mapping, uid_of

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """Objects as the API server gave them a moment ago, and the evidence.

    `inferenceservice` is None where it does not exist. `route` is the HTTPRoute that clients come by, and
    `deployments` those of the InferenceService by name: for Standard mode. `baseline_there` is whether the
    revision that a roll-back needs still exists, None where that cannot be told. `counted` is what the load
    has counted so far, None without a load. `warnings` are what KServe has warned of since the last patch, in
    order. `unseen` is why the split cannot be seen, as a clause.
    """

    inferenceservice: Json | None
    route: Json | None = None
    deployments: Mapping[str, Json] = field(default_factory=dict)
    baseline_there: bool | None = None
    pods: Pods = Pods()
    counted: Counted | None = None
    measured: Mapping[str, Measured] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    unseen: str = ""

    @property
    def predictor(self) -> Json:
        """The InferenceService's spec.predictor."""
        return mapping(self.inferenceservice, "spec", "predictor")

    @property
    def uid(self) -> str:
        """The InferenceService's; empty without one."""
        return uid_of(self.inferenceservice)

    @property
    def generation(self) -> int:
        """The InferenceService's; 0 without one."""
        return generation_of(self.inferenceservice)

    @property
    def answered(self) -> tuple[str, ...]:
        """The names that the load's answers have given."""
        return tuple(sorted(name for name in self.counted.names if name)) if self.counted else ()


@dataclass(frozen=True)
class Start:
    """What was there when the rollout began, by which everything later is told apart.

    - `baseline` and `created` are revisions: the one that served, and the latest one that there was. `known`
      are all that were named then.
    - `predictor` is spec.predictor of the baseline, as far as that is known, and `wanted` that of the new
      version. `apply` makes the latter of what is there, and `undo` brings the former back, None where
      nothing tells what that was: what stands in the spec may be a canary that was rolled back.
    - `replicas` is how many pods were wanted (Standard mode). `answered` are the names that the load's
      answers had given until then.
    """

    mode: str
    uid: str
    baseline: str
    created: str
    known: tuple[str, ...]
    predictor: Json
    wanted: Json
    apply: Json
    undo: Json | None
    replicas: int = 1
    answered: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the state keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Start:
        """The reverse of `to_json`."""
        lists = {key: tuple(data[key]) for key in ("known", "answered")}
        return cls(**{**data, **lists})
