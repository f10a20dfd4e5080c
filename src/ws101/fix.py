"""``fix``: apply the rules' fixes until nothing is left, and prove that no other request notices.

Theory of operation.  In each round the fixes that do not get in each other's way are applied together, and the new text
is parsed again.  A fix that calls itself safe must prove it: for every route of both configurations, a plain GET and a
plain POST must have the same outcome before and after.  If they don't, the fixes are tried in halves, and those that
change an outcome become unsafe, with the difference as the reason.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ws101.check import CheckReport, Entry, check
from ws101.findings import Finding, Fix, Level, Safety
from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Config, Files, MemoryFiles
from ws101.nginx.validate import validate
from ws101.rules import RULES
from ws101.rules.base.aims import location_of
from ws101.rules.base.options import Options
from ws101.rules.base.registry import Rule
from ws101.rules.base.sameness import Difference, same_outcomes
from ws101.syntax import Directive
from ws101.text import Edit, apply

__all__ = ["Applied", "FixResult", "Overlay", "changed", "fix", "judged", "proven", "with_edits"]

_Deed = tuple[str, str, str, tuple[str, ...]]  # rule, file, message, what the fix writes
ROUNDS = 10
FEW_ROUTES = 200
"""Up to so many routes the safety of fixes is proven before they are shown."""
_CLAIMED = "said by the rule; ws101 fix proves it before it applies anything"


@dataclass(frozen=True, slots=True)
class Applied:
    """A fix that was applied, and the finding it removes."""

    entry: Entry
    fix: Fix

    @property
    def finding(self) -> Finding:
        """The finding it removes."""
        return self.entry.finding


@dataclass(frozen=True, slots=True)
class FixResult:
    """What came of fixing.

    Args:
        texts: The new text (latin-1) of each file that changed or is new, by path.
        applied: The fixes, in the order in which they were applied.
        report: What the rules say now; fixes that were held back stand there, with the reason.
        before: What they said at first.
    """

    texts: Mapping[str, str]
    applied: tuple[Applied, ...]
    report: CheckReport
    before: CheckReport

    @property
    def config(self) -> Config:
        """The fixed configuration."""
        return self.report.config

    @property
    def has_errors(self) -> bool:
        """Whether error findings remain."""
        return any(finding.level is Level.ERROR for finding in self.report.findings)


@dataclass(frozen=True, slots=True)
class Overlay:
    """Files with some of them replaced or added."""

    base: Files
    texts: Mapping[str, str]

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return self.texts[path].encode("latin-1") if path in self.texts else self.base.read(path)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The paths that match, sorted by bytes."""
        added = MemoryFiles(dict.fromkeys(self.texts, b"")).glob(pattern)
        return tuple(sorted({*self.base.glob(pattern), *added}))


def changed(config: Config, texts: Mapping[str, str]) -> Config:
    """The configuration with other texts in some of its files."""
    base = config.files.base if isinstance(config.files, Overlay) else config.files
    old = config.files.texts if isinstance(config.files, Overlay) else {}
    files = Overlay(base, {**old, **texts})
    return Config(files, config.path, context=config.fragment, complete=config.complete, inside=config.inside)


def with_edits(config: Config, edits: Iterable[Edit]) -> Config:
    """The configuration with edits applied.

    Raises:
        EditError: If two edits overlap.
    """
    by_path: dict[str, list[Edit]] = {}
    for edit in dict.fromkeys(edits):
        by_path.setdefault(edit.span.path, []).append(edit)
    sources = config.sources
    texts = {path: apply(sources[path].text if path in sources else "", found) for path, found in by_path.items()}
    return changed(config, texts)


def fix(
    config: Config,
    builds: Sequence[Build],
    options: Options | None = None,
    *,
    unsafe: bool = False,
    rules: Sequence[Rule] = RULES,
) -> FixResult:
    """Apply fixes until nothing is left to fix, 10 rounds at most.

    Args:
        config: The configuration.
        builds: The nginx it runs on; several if that is unknown.
        options: What the user asks for.
        unsafe: Whether fixes that change other requests are wanted too; those of notes only for rules in
            ``options.select``.
        rules: The rules to run.

    Raises:
        UsageError: If a told URL is no WebSocket's URL.
    """
    options = options or Options()
    now, baseline = config, config
    applied: list[Applied] = []
    before: CheckReport | None = None
    barred: set[_Deed] = set()
    past: list[tuple[Config, Config, int, Counter[_Deed]]] = []
    for _ in range(ROUNDS):
        report = _without(proven(check(now, builds, options, rules=rules), options, baseline), barred)
        before = before or report
        in_vain = _returned(report, past[-2:])
        if in_vain:
            barred |= in_vain
            now, baseline, count, _ = past[-2]
            del applied[count:], past[-2:]
            continue
        chosen = _choose(report.entries, options.select, unsafe=unsafe)
        if not chosen:
            break
        after = with_edits(now, (edit for item in chosen for edit in item.fix.edits))
        if _new_problems(report, after):
            chosen = [item for item in chosen if not _new_problems(report, with_edits(now, item.fix.edits))][:1]
            if not chosen:
                break
            after = with_edits(now, chosen[0].fix.edits)
        past.append((now, baseline, len(applied), _left(report.entries, chosen)))
        applied += chosen
        now = after
        if unsafe or any(item.entry.refused for item in chosen):
            baseline = now
    else:
        report = _without(proven(check(now, builds, options, rules=rules), options, baseline), barred)
    assert before is not None, "there is at least one round"
    texts = dict(now.files.texts) if isinstance(now.files, Overlay) and now is not config else {}
    kept = config.files.texts if isinstance(config.files, Overlay) else {}
    if unsafe:
        report = replace(report, entries=tuple(_waiting(entry, options.select) for entry in report.entries))
    return FixResult({p: t for p, t in texts.items() if kept.get(p) != t}, tuple(applied), report, before)


def _deed(entry: Entry) -> _Deed | None:
    """What a fix writes against which fault; None if it only deletes, which comes to an end by itself."""
    finding = entry.finding
    texts = tuple(edit.text for edit in finding.fix.edits if edit.text) if finding.fix else ()
    return (finding.rule, finding.span.path, finding.message, texts) if texts else None


def _left(entries: Iterable[Entry], chosen: Iterable[Applied]) -> Counter[_Deed]:
    """How often each fault that is being fixed may still be found afterwards: where it was not chosen."""
    found = Counter(_deed(entry) for entry in entries)
    return Counter({deed: found[deed] - n for deed, n in Counter(_deed(c.entry) for c in chosen).items() if deed})


def _returned(report: CheckReport, past: Sequence[tuple[object, object, int, Counter[_Deed]]]) -> set[_Deed]:
    """The fixes that were applied in vain: after two rounds the same fault asks for the same lines again.

    One round is not enough: what another fix copies takes the fault with it.
    """
    if len(past) < 2:
        return set()
    found = Counter(_deed(entry) for entry in report.entries)
    one, other = past[-2][3], past[-1][3]
    return {deed for deed in one.keys() & other.keys() if found[deed] > max(one[deed], other[deed])}


def _without(report: CheckReport, barred: set[_Deed]) -> CheckReport:
    """The report without fixes that have proven vain."""
    if not barred:
        return report
    entries = (
        replace(entry, finding=replace(entry.finding, fix=None)) if _deed(entry) in barred else entry
        for entry in report.entries
    )
    return replace(report, entries=tuple(entries))


def _waiting(entry: Entry, asked: frozenset[str]) -> Entry:
    """A note's unsafe fix says how it is asked for."""
    finding = entry.finding
    if finding.fix is None or _is_safe(finding.fix) or _is_wanted(finding, asked):
        return entry
    reason = f"{finding.fix.reason}; a note's is applied only with --select {finding.rule}"
    return replace(entry, finding=replace(finding, fix=replace(finding.fix, reason=reason)))


def proven(report: CheckReport, options: Options, baseline: Config | None = None) -> CheckReport:
    """The report with the safety of its fixes proven: those that change another request's outcome become unsafe.

    Args:
        report: What the rules said.
        options: What they were asked.
        baseline: The configuration whose outcomes must stay; that of the report if None.
    """
    baseline = baseline or report.config
    entries = [_shared(entry, report) for entry in report.entries]
    claimed = _compatible([entry for entry in entries if _needs_proof(entry)])
    reasons = _refuted(report, options, baseline, claimed)
    rest = [entry for entry in entries if _needs_proof(entry) and entry not in claimed]
    while rest:
        group = _compatible(rest)
        reasons |= _refuted(report, options, baseline, group)
        rest = [entry for entry in rest if entry not in group]
    return replace(report, entries=tuple(_demoted(e, reasons[id(e)]) if id(e) in reasons else e for e in entries))


def judged(report: CheckReport, options: Options) -> CheckReport:
    """The report with the safety of its fixes proven where that takes little time, else marked as a mere claim.

    Args:
        report: What the rules said.
        options: What they were asked.
    """
    if not any(_needs_proof(entry) for entry in report.entries):
        return report
    if len(report.config.routes()) <= FEW_ROUTES:
        return proven(report, options)
    return replace(report, entries=tuple(_claimed(entry) for entry in report.entries))


def _claimed(entry: Entry) -> Entry:
    found = entry.finding.fix
    if found is None or not _needs_proof(entry):
        return entry
    return replace(entry, finding=replace(entry.finding, fix=replace(found, reason=_CLAIMED)))


def _is_safe(fix: Fix | None) -> bool:
    return fix is not None and fix.safety is Safety.SAFE


def _needs_proof(entry: Entry) -> bool:
    """Whether a fix calls itself safe and there are outcomes to keep: a refused configuration has none."""
    return _is_safe(entry.finding.fix) and not entry.refused


def _demoted(entry: Entry, reason: str) -> Entry:
    found = entry.finding.fix
    assert found is not None, "only a fix can be demoted"
    unsafe = replace(found, safety=Safety.UNSAFE, reason=reason)
    return replace(entry, finding=replace(entry.finding, fix=unsafe))


def _refuted(report: CheckReport, options: Options, baseline: Config, entries: Sequence[Entry]) -> dict[int, str]:
    """Of fixes that call themselves safe: those that are not, and why."""
    found = _differences(report, options, baseline, entries) if entries else ()
    if not found:
        return {}
    if len(entries) == 1:
        return {id(entries[0]): found[0].text}
    middle = len(entries) // 2
    halves = (entries[:middle], entries[middle:])
    one, other = (_refuted(report, options, baseline, half) for half in halves)
    return one | other


def _differences(
    report: CheckReport, options: Options, baseline: Config, entries: Sequence[Entry]
) -> tuple[Difference, ...]:
    edits = [edit for entry in entries if entry.finding.fix for edit in entry.finding.fix.edits]
    after = with_edits(report.config, edits)
    return same_outcomes(baseline, after, report.builds, options)


def _shared(entry: Entry, report: CheckReport) -> Entry:
    """A fix in a file that is included from several places is unsafe if only some of them have the fault."""
    if not _is_safe(entry.finding.fix):
        return entry
    asked = {location_of(place) for place in entry.places}
    for opener in {place.opener.directive for place in asked if place.opener is not None}:
        everywhere = _placements(report)[opener]
        have = sum(place.opener is not None and place.opener.directive is opener for place in asked)
        if have < everywhere:
            reason = f"{opener.source.path} is included in {everywhere} places, and only {have} of them have this fault"
            return _demoted(entry, reason)
    return entry


def _placements(report: CheckReport) -> Counter[Directive]:
    """How often each location block stands in the configuration."""
    memo = report.config.main.memo
    key = "fix: placements"
    if key not in memo:
        scopes = {location_of(route.location) for route in report.config.routes()}
        memo[key] = Counter(scope.opener.directive for scope in scopes if scope.opener is not None)
    found = memo[key]
    assert isinstance(found, Counter)
    return found


def _choose(entries: Sequence[Entry], asked: frozenset[str], *, unsafe: bool) -> list[Applied]:
    """The fixes to apply together: the first to bite first, none that touches another."""
    wanted = [e for e in entries if _is_safe(e.finding.fix) or (unsafe and _is_wanted(e.finding, asked))]
    return [Applied(e, e.finding.fix) for e in _compatible(wanted) if e.finding.fix]


def _is_wanted(finding: Finding, asked: frozenset[str]) -> bool:
    """Whether an unsafe fix is applied with the others: a note's only if its rule is asked for by name.

    A note may be wrong about what the application needs, and nothing fails where it is.
    """
    return finding.fix is not None and (finding.level is not Level.NOTE or finding.rule in asked)


def _compatible(entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose edits don't overlap or touch those of an earlier one; equal edits are one."""
    taken: dict[str, list[tuple[int, int, str]]] = {}
    chosen: list[Entry] = []
    for entry in entries:
        edits = entry.finding.fix.edits if entry.finding.fix else ()
        if not any(_clashes(edit, taken.get(edit.span.path, [])) for edit in edits):
            chosen.append(entry)
            for edit in edits:
                bisect.insort(taken.setdefault(edit.span.path, []), (edit.span.start, edit.span.end, edit.text))
    return chosen


def _clashes(edit: Edit, taken: Sequence[tuple[int, int, str]]) -> bool:
    """Whether an edit overlaps or touches one that is taken (in order, apart from one another) and not equal to it."""
    this = (edit.span.start, edit.span.end, edit.text)
    at = bisect.bisect_left(taken, this)
    near = taken[max(at - 2, 0) : at + 2]
    return any(other != this and this[0] <= other[1] and other[0] <= this[1] for other in near)


def _new_problems(report: CheckReport, new: Config) -> bool:
    """Whether nginx would refuse something in the new configuration that it did not refuse before."""
    return bool(_refused(new, report.builds) - _refused(report.config, report.builds))


def _refused(config: Config, builds: Sequence[Build]) -> Counter[tuple[str, str]]:
    return Counter((refusal.span.path, refusal.message) for refusal in validate(config, builds))
