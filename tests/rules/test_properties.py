"""What holds for any configuration: fixes lose nothing, settle, and depend on no order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.real import BUILDS, config_of
from ws101.check import check
from ws101.findings import Level, Safety
from ws101.fix import fix, with_edits
from ws101.nginx.build import Build
from ws101.rules import RULES, Options
from ws101.rules.base.sameness import same_outcomes

MAPS = (
    "",
    "map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n",
    "map $http_upgrade $connection_upgrade {\n    default upgrade;\n    ''      '';\n}\n",
    "map $http_upgrade $mine { websocket upgrade; }\n",
)
LINES = (
    "proxy_http_version 1.1;",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Upgrade upgrade;",
    'proxy_set_header Connection "";',
    "proxy_set_header Connection keep-alive;",
    'proxy_set_header Connection "upgrade";',
    "proxy_set_header Connection $connection_upgrade;",
    "proxy_set_header Host $host;",
    "proxy_set_header X-Real-IP $remote_addr;  # whose?",
    "include fields.inc;",
    "proxy_read_timeout 30s;",
    "# a comment { } ;",
)
NAMES = ("/", "/ws", "= /ws", "/ws/", "^~ /socket.io/", "~ ^/(live|hub)", "/api", "/news")
URLS = ("ws://example.com/ws", "ws://example.com/socket.io/", "ws://example.com/api/live")


@st.composite
def lines(draw: st.DrawFn, indent: str, newline: str) -> str:
    """Some directives, no scalar one twice."""
    chosen = draw(
        st.lists(st.sampled_from(LINES), max_size=5, unique_by=lambda line: line.split()[0:2][-1] + line[:12])
    )
    return "".join(f"{indent}{line}{newline}" for line in chosen)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, str]:
    newline = draw(st.sampled_from(("\n", "\n", "\r\n")))
    unit = draw(st.sampled_from(("    ", "  ", "\t")))
    locations = ""
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)):
        body = draw(lines(unit * 2, newline))
        handler = f"{unit * 2}proxy_pass http://127.0.0.1:3000;{newline}"
        first = draw(st.booleans())
        inside = handler + body if first else body + handler
        locations += f"{unit}location {name} {{{newline}{inside}{unit}}}{newline}"
    server = f"server {{{newline}{unit}listen 80;{newline}{draw(lines(unit, newline))}{locations}}}{newline}"
    return {
        "nginx.conf": newline.join(
            ("events {}", "http {", draw(st.sampled_from(MAPS)) + "include sites/*.conf;", "}", "")
        ),
        "sites/a.conf": draw(st.sampled_from(("", "# caf\xe9\x85\n"))) + server,
        "fields.inc": "proxy_set_header X-Included yes;\n",
    }


BUILD = st.sampled_from(BUILDS)
OPTIONS = st.builds(
    Options,
    style=st.sampled_from(("map", "quick")),
    urls=st.lists(st.sampled_from(URLS), max_size=2, unique=True).map(tuple),
)


@settings(max_examples=40)
@given(configurations(), BUILD, OPTIONS)
def test_what_no_edit_names_is_byte_identical(files: dict[str, str], build: Build, options: Options) -> None:
    config = config_of(files)
    for finding in check(config, (build,), options).findings:
        edits = finding.fix.edits if finding.fix else ()
        after = with_edits(config, edits).sources
        for path, source in config.sources.items():
            text, at = source.text, 0
            for edit in sorted((e for e in edits if e.span.path == path), key=lambda e: e.span.start):
                kept = text[at : edit.span.start]
                assert kept in after[path].text
                at = edit.span.end
            assert after[path].text.endswith(text[at:])
            assert len(after[path].text) == len(text) + sum(
                len(e.text) - (e.span.end - e.span.start) for e in set(edits) if e.span.path == path
            )


@settings(max_examples=40)
@given(configurations(), BUILD, OPTIONS)
def test_fixing_settles_adds_no_problem_and_no_other_request_notices(
    files: dict[str, str], build: Build, options: Options
) -> None:
    config = config_of(files)
    fixed = fix(config, (build,), options)
    assert set(fixed.config.problems) <= set(config.problems)
    assert not [f for f in fixed.report.findings if f.fix and f.fix.safety is Safety.SAFE]
    again = fix(fixed.config, (build,), options)
    assert dict(again.texts) == {}
    assert same_outcomes(config, fixed.config, (build,), options) == ()


@settings(max_examples=25)
@given(configurations(), BUILD, OPTIONS, st.randoms(use_true_random=False))
def test_the_order_of_the_rules_matters_to_nothing(
    files: dict[str, str], build: Build, options: Options, random: object
) -> None:
    shuffled = list(RULES)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    config = config_of(files)
    one, two = check(config, (build,), options), check(config, (build,), options, rules=shuffled)
    assert one.findings == two.findings
    assert fix(config, (build,), options).texts == fix(config, (build,), options, rules=shuffled).texts


@settings(max_examples=40)
@given(configurations(), BUILD, OPTIONS)
def test_a_route_that_is_meant_and_fails_has_a_finding(files: dict[str, str], build: Build, options: Options) -> None:
    report = check(config_of(files), (build,), options)
    for row in report.routes:
        if row.websocket == "intended" and row.tunnel is False:
            assert row.rules
    told_or_shown = options.urls or any(row.websocket == "intended" for row in report.routes)
    assert told_or_shown or not any(
        f.level is Level.ERROR and f.rule != "map-variable-undefined" for f in report.findings
    )


@settings(max_examples=40)
@given(configurations(), BUILD)
def test_with_everything_allowed_every_fault_of_these_can_be_fixed(files: dict[str, str], build: Build) -> None:
    options = Options(urls=URLS[:1])
    fixed = fix(config_of(files), (build,), options, unsafe=True)
    left = [(f.rule, f.message) for f in fixed.report.findings if f.level is Level.ERROR]
    assert [rule for rule, _ in left if rule != "no-websocket-location-spa-fallback"] == []
