"""Many samples in one nginx: placed side by side, the refused ones dropped, each asked its requests."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.fidelity.conf import Node, render
from tools.fidelity.sample import Ask, Sample, filled
from tools.fidelity.wire import Seen, Wire, certificate
from ws101.errors import NginxError
from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.outcome import Arrival

__all__ = ["Batch", "Pair", "Placed", "Refused"]

_SETTINGS = """
    server_names_hash_bucket_size 256;
    server_names_hash_max_size 8192;
    map_hash_bucket_size 256;
    map_hash_max_size 8192;
    variables_hash_max_size 8192;
    variables_hash_bucket_size 128;
    proxy_headers_hash_bucket_size 256;
    proxy_headers_hash_max_size 1024;
    proxy_read_timeout 2s;
    proxy_connect_timeout 1s;
    root __ROOT__;
    proxy_cache_path __ROOT__/../cache keys_zone=cache:1m;
    limit_conn_zone $binary_remote_addr zone=clients:64k;
    limit_req_zone $binary_remote_addr zone=rate:64k rate=1000000r/s;
"""
_LINGER, _LONG_LINGER = 0.02, 0.5
"""Seconds without anything new until no copy is expected any more."""
_LINE = re.compile(r" in [^\s]*nginx\.conf:(\d+)")
PASSWORD = "user:{PLAIN}secret\n"


@dataclass(frozen=True, slots=True)
class Placed:
    """A sample with its places filled in.

    Attributes:
        text: Its configuration.
        copies: Whether requests are copied, so that something may come after the answer.
    """

    sample: Sample
    places: Mapping[str, str]
    text: str = field(init=False)
    copies: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", filled(self.sample.text, self.places))
        object.__setattr__(self, "copies", "mirror " in self.text)

    def arrival(self, ask: Ask) -> Arrival:
        """A request of the sample and its connection, as the model is asked."""
        raw = ask.request
        request = Request(
            raw.method,
            filled(raw.target, self.places),
            raw.version,
            tuple((name, filled(value, self.places)) for name, value in raw.headers),
            raw.body,
        )
        if ask.to == "__UNIX__":
            return Arrival(request, None, unix=self.places[ask.to], client="unix:")
        port = int(self.places[ask.to])
        return Arrival(request, port, self.places["__ADDR__"], tls=ask.tls, sni=ask.sni, client=ask.client)


@dataclass(frozen=True, slots=True)
class Pair:
    """A configuration and a request, and what nginx did."""

    placed: Placed
    ask: Ask
    arrival: Arrival
    seen: Seen


@dataclass(frozen=True, slots=True)
class Refused:
    """A sample that nginx refuses, and its words."""

    sample: Sample
    message: str


class Batch:
    """A running nginx with many samples.

    Args:
        binary: The nginx.
        wire: The backends.
        samples: At most 250.
        preamble: Directives at http level that all samples share.
    """

    def __init__(
        self, binary: NginxBinary, wire: Wire, samples: Sequence[Sample], preamble: tuple[Node, ...] = ()
    ) -> None:
        self.binary = binary
        self.refused: list[Refused] = []
        self._wire = wire
        self._folder = Path(tempfile.mkdtemp(prefix="ws101-fidelity-"))
        (self._folder / "root").mkdir()
        (self._folder / "password").write_text(PASSWORD)
        port, tls = free_ports(2)
        first, second = os.urandom(2)
        common = wire.places | {"__PORT__": str(port), "__TLS__": str(tls), "__ROOT__": f"{self._folder}/root"}
        common["__PASS__"] = f"{self._folder}/password"
        self._preamble = filled(render(preamble, 4) + _SETTINGS + _tls(self._folder), common)
        self.placed = [
            Placed(
                sample,
                common | _own_places(sample, number, f"127.{1 + first % 120}.{second}.{number + 1}", self._folder),
            )
            for number, sample in enumerate(samples)
        ]
        self._nginx: Nginx | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean()

    def _clean(self) -> None:
        if self._nginx is not None:
            self._nginx.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _text(self, placed: Sequence[Placed]) -> str:
        text = wrap(self._preamble + "".join(p.text for p in placed), binary=self.binary, log_level="emerg")
        return text.replace("access_log access.log lab;", "access_log off;")

    def _start(self) -> None:
        """Start nginx; drop what it refuses."""
        while True:
            nginx = Nginx(self._text(self.placed), binary=self.binary, directory=self._folder)
            try:
                nginx.start()
            except NginxError as error:
                nginx.stop()
                self._drop(self._culprit(error.message), error.message)
                continue
            self._nginx = nginx
            return

    def _drop(self, culprit: Placed, message: str) -> None:
        self.placed.remove(culprit)
        self.refused.append(Refused(culprit.sample, message))
        if not self.placed:
            raise NginxError(f"every sample is refused: {message}")

    def _culprit(self, message: str) -> Placed:
        """The sample that nginx refuses: by the line it names, else by halving."""
        found = _LINE.search(message)
        if found:
            line = (
                int(found[1]) - 1 - self._text(()).partition(self._preamble)[0].count("\n") - self._preamble.count("\n")
            )
            for placed in self.placed:
                line -= placed.text.count("\n")
                if line < 0:
                    return placed
        return self._halve(self.placed)

    def _halve(self, suspects: list[Placed]) -> Placed:
        while len(suspects) > 1:
            half = suspects[: len(suspects) // 2]
            nginx = Nginx(self._text(half), binary=self.binary, directory=self._folder)
            accepted, _ = nginx.test()
            suspects = suspects[len(half) :] if accepted else half
        return suspects[0]

    @cached_property
    def config(self) -> Config:
        """What the model sees: the same text."""
        return Config(MemoryFiles({"nginx.conf": self._text(self.placed).encode("latin-1")}), "nginx.conf")

    @property
    def text(self) -> str:
        """The whole configuration."""
        return self._text(self.placed)

    def pairs(self) -> Iterator[Pair]:
        """Ask nginx every request of every sample."""
        for placed in self.placed:
            for ask in placed.sample.asks:
                arrival = placed.arrival(ask)
                yield self._asked(Pair(placed, ask, arrival, Seen()), _LINGER if placed.copies else 0)

    def again(self, pair: Pair) -> Pair:
        """Ask once more where a copy may have come too late: on a busy machine mirror's subrequests do."""
        return self._asked(pair, _LONG_LINGER) if pair.placed.copies else pair

    def _asked(self, pair: Pair, linger: float) -> Pair:
        return replace(pair, seen=self._wire.ask(pair.arrival, pair.ask.first, linger))


def _tls(folder: Path) -> str:
    """The settings for encrypted listeners."""
    made = certificate()
    if made is None:
        return ""
    (folder / "key").write_bytes(made[0])
    (folder / "cert").write_bytes(made[1])
    return f"    ssl_certificate {folder}/cert;\n    ssl_certificate_key {folder}/key;\n"


def _own_places(sample: Sample, number: int, address: str, folder: Path) -> dict[str, str]:
    own = {"__ADDR__": address, "__UNIX__": f"{folder}/listen{number}.sock", "__N__": str(number)}
    uses_wild = "__WILD__" in sample.text or any(ask.to == "__WILD__" for ask in sample.asks)
    return own | {"__WILD__": str(free_ports(1)[0]) if uses_wild else "1"}
