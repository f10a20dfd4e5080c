"""Experiments carried out: each is one request on one connection, and takes no longer than it may."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ws101.diagnose import Experiment, Place, Tried
from ws101.diagnose.base import said
from ws101.host.dial import Network, Resolve
from ws101.host.network import knock
from ws101.probes.core import Observation
from ws101.probes.handshake import HandshakeOptions

__all__ = ["BUDGET", "Asker", "Progress"]

BUDGET = 20.0
"""Seconds that all experiments of one diagnosis may take together; none is begun after that."""

MOST = 5.0
"""Seconds that one experiment may take."""

Progress = Callable[[str], None]
"""Gets the title of what is being done."""


class Asker:
    """Carries out experiments and keeps what they gave.

    Args:
        network: How the user reaches the site.
        options: Of these the limits count.
        progress: Gets the title of each experiment before it is made.

    Attributes:
        results: What each experiment gave, by name.
        tried: The experiments in the order in which they were made.
    """

    def __init__(self, network: Network, options: HandshakeOptions, progress: Progress) -> None:
        self.network, self.options, self.progress = network, options, progress
        self.results: dict[str, Observation] = {}
        self.tried: list[Tried] = []
        self._began = time.monotonic()

    @property
    def spent(self) -> bool:
        """Whether the time for experiments is over."""
        return time.monotonic() - self._began > BUDGET

    def note(self, name: str, title: str, seen: Observation, seconds: float, *, answer: str = "") -> None:
        """Keep what an experiment gave; what it says of itself, unless other words are given."""
        self.results[name] = seen
        self.tried.append(Tried(name, title, answer or said(seen), seen.passed, seconds, seen.details))

    def ask(self, experiment: Experiment) -> None:
        """Carry out an experiment."""
        self.progress(experiment.title)
        if experiment.pause:
            time.sleep(experiment.pause)
        begin = time.monotonic()
        options = replace(self.options, timeout=min(self.options.timeout, MOST), linger=0.0)
        seen = knock(experiment.request, experiment.place.endpoint, options, self.network_to(experiment.place))
        self.note(experiment.name, experiment.title, seen, time.monotonic() - begin)
        status = seen.handshake.status if seen.handshake else None
        if not experiment.tunnel and status is not None and status < 400:
            self.tried[-1] = replace(self.tried[-1], passed=True)

    def network_to(self, place: Place) -> Network:
        """How a place is reached: the backend past proxies and overrides, the site as the user's client reaches it."""
        timeout = min(self.network.timeout, MOST)
        if place.backend:
            name = "" if place.unix else self.network.server_name
            return Network(unix_socket=place.unix, insecure=True, server_name=name, timeout=timeout)
        resolve = self.network.resolve
        same = place.same_address and not self.network.proxy
        address = place.address or (self._address() if same else "")
        if address:
            resolve = (Resolve(place.endpoint.host, place.endpoint.port, (address,)), *resolve)
        return replace(
            self.network,
            resolve=(*resolve, *self._elsewhere(place)),
            insecure=place.insecure or self.network.insecure,
            timeout=timeout,
            preface=place.preface,
        )

    def _address(self) -> str:
        """The address that the live handshake went to, without its port."""
        site = self.results.get("site")
        shown = site.connection.address if site and site.connection else ""
        return "" if shown.startswith("unix:") else shown.rpartition(":")[0].strip("[]")

    def _elsewhere(self, place: Place) -> tuple[Resolve, ...]:
        """An override for the site's own port holds for its other ports too."""
        return tuple(
            Resolve(entry.host, place.endpoint.port, entry.addresses)
            for entry in self.network.resolve
            if entry.host == place.endpoint.host and entry.port != place.endpoint.port
        )
