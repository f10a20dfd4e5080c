"""The figures of a run as a page of the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tools.fidelity.coverage import all_constructs
from tools.fidelity.run import Tally

__all__ = ["write"]

_HEAD = """# The model against real nginx

Configurations and requests are drawn at random (`tools/fidelity`), from small sets of words so that they meet. A real
nginx answers each request, with backends behind it that record every byte, and the model predicts. Compared are

- the kind of outcome, the status, the Location, and the text of an answer that nginx gives itself,
- which backend is reached, and whether over TLS,
- **the exact bytes of the request that reaches it**, and those of the subrequests of auth_request and mirror,
- whether a tunnel comes of it: a byte is sent through each.

A mismatch is cut down to a counterexample that prints the configuration, both requests and the model's way, and becomes
a case under `tests/cases`. Pairs with what only run time knows are drawn apart; there the model may leave open what
hangs on it, and everything else is compared. The test suite runs a sample of the same pairs; `make fidelity` runs all,
and `python -m tools.fidelity --seed SEED` draws the same again.

How closely ws101 refuses what nginx refuses is measured on [a page of its own](fidelity-syntax.md).
"""
_CUT = """## What is not drawn

- HTTP/2 and HTTP/3 requests: a tunnel needs HTTP/1 (on listeners with http2 the requests are HTTP/1).
- Code of Lua, njs and Perl and modules of third parties, which none of these builds has.
- What the backends answer: always a complete 200, or a 101 to an opening handshake. Peers that fail, and which of
  several is chosen, are run time's business; that one of those that may be chosen is reached, is compared.
- The contents of files: every folder is empty, and there is one password.
"""


def write(path: Path, tallies: Sequence[Tally], seed: str) -> None:
    """Write the page."""
    parts = [_HEAD, f"## Figures\n\nSeed `{seed}`.\n", _table(tallies), _outcomes(tallies)]
    parts += [_unknown(tallies), _left_out(tallies), _coverage(tallies), _CUT]
    path.write_text("\n".join(part for part in parts if part), encoding="utf-8")


def _table(tallies: Sequence[Tally]) -> str:
    lines = [
        (
            "| nginx | pairs | of them with run-time constructs | configurations | tunnels "
            "| mismatches | not all known | seconds |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for tally in tallies:
        share = 100 * tally.unknown_pairs / max(1, tally.pairs)
        cells = (tally.version, tally.pairs + tally.run_time_pairs, tally.run_time_pairs, tally.samples, tally.tunnels)
        more = (len(tally.mismatches), f"{tally.unknown_pairs} ({share:.2f} %)", f"{tally.seconds:.0f}")
        lines.append("| " + " | ".join(map(str, cells + more)) + " |")
    note = (
        "\n*Not all known* counts the pairs drawn without run-time constructs of which the model leaves anything open; "
        "what it takes at the usual answer, which the harness gives, does not count: files, a password, the answers of "
        "auth_request's and mirror's backends, the line of the PROXY protocol.\n"
    )
    return "\n".join(lines) + "\n" + note


def _outcomes(tallies: Sequence[Tally]) -> str:
    kinds: Counter[str] = sum((tally.kinds for tally in tallies), Counter())
    return "Outcomes: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) + ".\n"


def _unknown(tallies: Sequence[Tally]) -> str:
    head = (
        "### {}\n\n| reason | "
        + " | ".join(tally.version for tally in tallies)
        + " |\n|---|"
        + "---|" * len(tallies)
        + "\n"
    )
    parts = []
    for title, which in (
        ("Left open without run-time constructs, pairs by reason", "unknown"),
        ("Left open with them", "run_time_unknown"),
    ):
        counters: list[Counter[str]] = [getattr(tally, which) for tally in tallies]
        total: Counter[str] = sum(counters, Counter())
        rows = [
            f"| {reason} | {' | '.join(str(c[reason]) for c in counters)} |\n" for reason, _ in total.most_common(25)
        ]
        parts.append(head.format(title) + "".join(rows))
    return "\n".join(parts)


def _left_out(tallies: Sequence[Tally]) -> str:
    """Which configurations a version could not be asked, by name of what it lacks."""
    needs = sorted({name for tally in tallies for name in tally.lacking})
    lines = [
        "## Left out",
        "",
        "Configurations that a build could not be given, by the module or the version they need.",
        "",
    ]
    lines += ["| needs | " + " | ".join(tally.version for tally in tallies) + " |", "|---|" + "---|" * len(tallies)]
    for name in needs:
        title = f"nginx {name}" if name[0].isdigit() else f"{name}_module"
        lines.append(f"| {title} | " + " | ".join(str(tally.lacking[name]) for tally in tallies) + " |")
    refused = ", ".join(f"{tally.version}: {sum(tally.refused.values())}" for tally in tallies)
    return "\n".join(lines) + f"\n\nRefused by nginx itself: {refused}.\n"


def _coverage(tallies: Sequence[Tally]) -> str:
    """How many pairs held each construct."""
    lines = ["## Constructs", "", "How many pairs hold each construct in their configuration or request.", ""]
    lines += ["| construct | " + " | ".join(tally.version for tally in tallies) + " |", "|---|" + "---|" * len(tallies)]
    chapter = ""
    for place in all_constructs():
        if place[0] != chapter:
            chapter = place[0]
            lines.append(f"| **{chapter}** |" + " |" * len(tallies))
        lines.append(f"| {place[1]} | " + " | ".join(str(tally.coverage[place]) for tally in tallies) + " |")
    return "\n".join(lines) + "\n"
