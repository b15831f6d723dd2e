# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connection mode and which payload each request of a run takes."""

from __future__ import annotations

from .options import Options
from .payloads import Mix


class Order:
    """By a request's number alone; `mix` says which payload it carries."""

    def __init__(self, options: Options, payloads: int) -> None:
        """`payloads` is how many there are."""
        self._modes: tuple[str, ...] = (
            ("new", "keep-alive") if options.connection_modes == "both" else (options.connection_modes,)
        )
        self._shift = options.mode_shift
        self.mix = Mix(
            payloads,
            options.payload_names,
            options.payload_weights,
            seed=options.seed,
            modes=len(self._modes),
            part=options.numbering,
        )

    def connection_mode(self, sequence: int) -> str:
        """The name of the mode that the request takes."""
        return self._modes[(sequence + self._shift) % len(self._modes)]
