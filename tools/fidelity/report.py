"""The figures of a run as a page of the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tools.fidelity.run import Tally

__all__ = ["write"]

_HEAD = """# The model against real nginx

Configurations and requests are drawn at random (`tools/fidelity`): listeners, server names, TLS and SNI, unix sockets,
locations of all kinds and nested, every form of proxy_pass, header inheritance, maps, geo, split_clients, rewrite, if,
set, return, break, try_files, error_page, limit_except, allow and deny, passwords, auth_request, body limits, cache,
upstream blocks; requests with handshakes, repeated, odd and invalid fields, bodies, and targets of every kind. A real
nginx answers each request with recording backends behind it, and the model predicts. Compared are the kind of outcome,
status, Location, which backend, **the exact bytes it gets**, TLS or not, tunnel or not (a byte is sent through), and
the text of an answer that nginx gives itself. A mismatch is cut down to a counterexample, which then becomes a case
under `tests/cases`. `make fidelity` runs this; `--seed` draws the same again.
"""


def write(path: Path, tallies: Sequence[Tally], seed: str) -> None:
    """Write the page."""
    parts = [_HEAD, f"Seed `{seed}`.\n", _table(tallies), _outcomes(tallies), _unknown(tallies), _left_out(tallies)]
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
        "whether a file is there, and whether a password is right, it takes at the usual answer, as the harness does.\n"
    )
    return "\n".join(lines) + "\n" + note


def _outcomes(tallies: Sequence[Tally]) -> str:
    kinds: Counter[str] = sum((tally.kinds for tally in tallies), Counter())
    return "Outcomes: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) + ".\n"


def _unknown(tallies: Sequence[Tally]) -> str:
    head = "| {} | " + " | ".join(tally.version for tally in tallies) + " |\n|---|" + "---|" * len(tallies) + "\n"
    parts = []
    for title, which in (
        ("left open without run-time constructs", "unknown"),
        ("left open with them", "run_time_unknown"),
    ):
        counters: list[Counter[str]] = [getattr(tally, which) for tally in tallies]
        total: Counter[str] = sum(counters, Counter())
        rows = [
            f"| {reason} | {' | '.join(str(c[reason]) for c in counters)} |\n" for reason, _ in total.most_common(25)
        ]
        parts.append(head.format(title) + "".join(rows))
    return "\n".join(parts)


def _left_out(tallies: Sequence[Tally]) -> str:
    lacking = [f"{tally.version} lacks {name}: {count}" for tally in tallies for name, count in tally.lacking.items()]
    refused = [f"{tally.version} refuses {sum(tally.refused.values())}" for tally in tallies]
    return f"Configurations left out: {'; '.join((*lacking, *refused))}.\n"
