"""How long the configuration lets a tunnel be silent: said before it is measured, and compared with what was."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from ws101.cli.inputs import Inputs
from ws101.errors import InputError
from ws101.host.doctor import arrival_of
from ws101.lazy import dataclass
from ws101.nginx.trace import trace
from ws101.probes.core import Observation
from ws101.probes.endpoint import Endpoint
from ws101.probes.handshake import HandshakeOptions, build_request
from ws101.report.texts import seconds, shown_where

__all__ = ["Prediction", "compared", "predict_idle"]

_EARLY, _LATE = 0.35, 1.0
"""How much before and after its figure nginx may cut, in seconds: NGX_TIMER_LAZY_DELAY, and a busy machine."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of a silent tunnel.

    Args:
        seconds: After how much silence nginx cuts it.
        place: The proxy_read_timeout that says so, ``file:line``; empty for nginx's default.
    """

    seconds: float
    place: str

    @property
    def by(self) -> str:
        """What decides it, for people."""
        return f"proxy_read_timeout, {self.place}" if self.place else "the default of proxy_read_timeout"

    def __str__(self) -> str:
        return f"nginx cuts a silent tunnel after {seconds(self.seconds)} ({self.by})"


def predict_idle(inputs: Inputs, conf: str | None, endpoint: Endpoint, options: HandshakeOptions) -> Prediction:
    """Ask the model of a configuration.

    Args:
        inputs: How the configuration is read.
        conf: Where it is; None for that of the nginx of this machine that answers there.
        endpoint: The WebSocket's address.
        options: Of the opening handshake.

    Raises:
        InputError: There is no such configuration, or the model does not get as far as a tunnel.
    """
    loaded = inputs.load_conf(conf, endpoint)
    request = build_request(endpoint, options)
    found: list[Prediction] = []
    for build in loaded.builds:
        forwarded = trace(loaded.config, arrival_of(endpoint, request), build).outcome.forwarded
        if forwarded is None or not forwarded.tunnel or forwarded.idle_timeout is None:
            raise InputError(
                "by this configuration no tunnel certainly opens there, so nothing is predicted",
                where=loaded.config.path,
                help=f"ws101 explain {endpoint.url} --conf {conf or loaded.config.path} says what happens instead",
            )
        place = shown_where(forwarded.idle_origin, posixpath.dirname(loaded.config.path))
        found.append(Prediction(forwarded.idle_timeout, place))
    return min(found, key=lambda prediction: prediction.seconds)


def compared(seen: Observation, prediction: Prediction, limit: float) -> Observation:
    """What was measured, with what was predicted.

    Args:
        seen: What the probe of a silent tunnel saw.
        prediction: What the model said.
        limit: How long was waited, in seconds.
    """
    agrees = _agrees(seen, prediction.seconds, limit)
    figures = (("predicted", prediction.seconds), ("predicted_by", prediction.by), ("as_predicted", agrees))
    said = f"predicted: {seconds(prediction.seconds)} ({prediction.by})"
    tail = {True: "as predicted", False: f"not as {said}", None: said}[agrees]
    remedy = "nginx runs another configuration, or something else on the way cuts: ws101 diagnose finds out"
    return replace(
        seen,
        message=f"{seen.message}; {tail}",
        details=(*seen.details, *figures),
        help=seen.help or (remedy if agrees is False else ""),
    )


def _agrees(seen: Observation, predicted: float, limit: float) -> bool | None:
    """Whether the model is right; None where the measurement does not tell."""
    silent, ended = seen.detail("silent"), seen.detail("ended")
    if not isinstance(silent, float) or ended in (None, "close"):
        return None
    if ended == "open":
        return False if limit > predicted + _LATE and silent > predicted + _LATE else None
    return predicted - _EARLY <= silent <= predicted + _LATE
