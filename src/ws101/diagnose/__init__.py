"""A diagnosis: what the model predicts, joined with what was observed.

Theory of operation.  The rules say what is wrong in the configuration on the way of this request; the trace says what
nginx does with it; the live handshake says what came back.  Where these do not settle it, ``plan`` names the next
experiments: each is one request on one connection that differs in one thing from another one, so that the two answers
decide.  Whoever can open connections (``ws101.host.doctor``) carries them out and asks again, until nothing is left to
ask; ``diagnose`` then makes the causes.  Nothing in here opens a connection.

``base``: the types.  ``experiments``: what to try next.  ``below``, ``gateway``, ``forwarding``, ``application``,
``beyond``, ``life``: the causes, in the order in which a request meets them.  ``joining``: the verdict.
"""

from __future__ import annotations

from ws101.diagnose.base import Diagnosis, Experiment, Facts, Observed, Place, RootCause, Surroundings, Tried
from ws101.diagnose.experiments import plan
from ws101.diagnose.joining import diagnose, observe

__all__ = [
    "Diagnosis",
    "Experiment",
    "Facts",
    "Observed",
    "Place",
    "RootCause",
    "Surroundings",
    "Tried",
    "diagnose",
    "observe",
    "plan",
]
