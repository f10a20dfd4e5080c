"""The page: escaped whatever it is given, whole for every verdict, and true to what was measured."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_diagnose import GOOD, SENT, URL, application, lost, opened
from ws101.diagnose import Diagnosis, Facts, Observed, RootCause, Tried, observe
from ws101.diagnose import diagnose as joined_diagnosis
from ws101.findings import Fix, Level
from ws101.http1 import Response
from ws101.logs import AccessEntry, Tally
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles, Unknown
from ws101.nginx.outcome import Arrival, Trace
from ws101.nginx.trace import trace
from ws101.probes.core import Entry, HandshakeResult, Observation, Timings, Verdict
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.handshake import HandshakeOptions, build_request
from ws101.report.html.base import Markup, colored, element, escaped, told
from ws101.report.html.charts import Bar, chart
from ws101.report.html.diagnose import Cover, diagnose
from ws101.report.html.look import POLICY, STYLE
from ws101.report.html.measured import Logbook, logbook, silence, timeline
from ws101.report.html.way import way, wire
from ws101.report.style import Style, pieces
from ws101.report.subject import Subject
from ws101.text import Edit, Span

BUILD = Build((1, 22, 1))
VOID = {"meta", "br", "hr", "wbr"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "footer", "h1", "h2", "h3", "p"),
    *("ul", "ol", "li", "pre", "code", "span", "strong", "q", "div", "table", "caption", "thead", "tbody", "tr", "th"),
    *("td", "svg", "rect", "line", "path"),
}
ATTRIBUTES = {
    *("class", "id", "lang", "charset", "http-equiv", "content", "name", "scope", "role", "tabindex", "data-label"),
    *("aria-label", "aria-labelledby", "aria-hidden", "focusable", "viewbox", "preserveaspectratio"),
    *("x", "y", "width", "height", "x1", "x2", "y1", "y2", "d"),
}
HOSTILE = (
    "</pre></style></title><script>alert(1)</script>",
    "\"' onload=alert(1) x='",
    "<img src=http://evil.example/x>",
    "\x1b[31mred\x07\x9b",
    "\u202egpj.exe".encode().decode("latin-1"),
    "]]>&lt;--><!--",
    "\x00\r\n\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
)


@dataclass
class Page(HTMLParser):
    """What a page is made of."""

    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.wrong == page.open == []
    assert set(page.tags) <= TAGS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    return page


def site(location: str) -> tuple[Subject, Trace]:
    text = (
        f"http {{\n server {{\n  listen 80;\n  server_name shop.example;\n  location /ws {{\n {location}\n }}\n}}\n}}\n"
    )
    config = Config(MemoryFiles({"/etc/nginx/nginx.conf": text.encode()}), "/etc/nginx/nginx.conf")
    return Subject(config, (BUILD,), "option"), trace(config, Arrival(SENT, 80), BUILD)


def with_transcript(seen: Observation) -> Observation:
    return replace(seen, transcript=(Entry(0.0, "sent", "GET"),))


def found(verdict: str = "works", **more: object) -> Diagnosis:
    return replace(Diagnosis(URL.url, verdict), **more)  # type: ignore[arg-type]


# markup


def test_an_element_escapes_what_is_not_markup() -> None:
    assert element("p", "<b>", Markup("<i></i>"), class_='"x"') == '<p class="&quot;x&quot;">&lt;b&gt;<i></i></p>'
    assert element("meta", http_equiv="a", content=None) == '<meta http-equiv="a">'
    assert element("line", x1="1") == '<line x1="1"></line>'


def test_text_of_files_is_read_as_utf_8_masked_and_without_control_characters() -> None:
    assert told("h\xc3\xa9llo \x1b[31m") == "héllo \\x1b[31m"
    assert told("/ws?token=abcdef&x=1") == "/ws?token=***&amp;x=1"
    assert escaped("\u202e\x07\n") == "\\u202e\\x07\n"


def test_painted_lines_become_classes_and_foreign_escapes_do_not() -> None:
    style = Style(color=True)
    line = style.paint("error", "<^^^>") + " plain"
    assert [*pieces(line)] == [("error", "<^^^>"), ("", " plain")]
    assert colored([line]) == '<span class="error">&lt;^^^&gt;</span> plain'
    assert "span" not in colored(["\x1b[5mblink"])


@given(st.text(), st.text())
def test_no_text_breaks_out_of_an_element_or_an_attribute(inside: str, value: str) -> None:
    page = Page()
    page.feed(element("p", inside, class_=value))
    page.close()
    assert (page.tags, page.open, page.wrong, len(page.attributes)) == (["p"], [], [], 1)
    assert all(char.isprintable() or char in "\n\t" for char in page.text)


# the whole page


@pytest.mark.parametrize("verdict", ["works", "degraded", "broken", "unknown"])
@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("seen", [None, opened(), lost("refused", connected=False)], ids=["offline", "101", "refused"])
def test_every_verdict_has_a_whole_page(verdict: str, configured: bool, seen: Observation | None) -> None:
    subject, predicted = site(f"proxy_pass http://127.0.0.1:3000; {GOOD}")
    result = found(verdict, observed=observe(seen) if seen else None, predicted=predicted if configured else None)
    page = parsed(diagnose(result, subject if configured else None, Cover("today", "1.0")))
    assert page.tags.count("h1") == 1
    assert page.tags.count("h2") == page.tags.count("section") >= 6
    assert ("lang", "en") in page.attributes
    assert URL.url in page.text
    assert verdict in page.text
    assert ("what nginx's configuration says: none was at hand" in page.text) is not configured
    assert ("no connection was opened" in page.text) is (seen is None)


def test_the_page_may_load_nothing_and_its_policy_names_its_own_style_sheet_by_its_digest() -> None:
    text = diagnose(found(), None, Cover())
    shown = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert shown is not None
    digest = base64.b64encode(hashlib.sha256(shown[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" == POLICY
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert not re.search(r"url\(|@import|<script|src=|href=", text)
    assert not re.search(r"url\(|expression|@import", STYLE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(max_codepoint=255), max_size=20), min_size=9,
                max_size=9))  # fmt: skip
def test_hostile_text_stays_text_wherever_it_comes_from(texts: list[str]) -> None:
    a, b, c, d, e, f, g, h, i = texts
    subject, predicted = site("proxy_pass http://127.0.0.1:3000;")
    path = "/etc/nginx/nginx.conf"
    fix = Fix(a, (Edit(Span(path, 10, 10), b.replace("\n", "")),), reason=c)
    cause = RootCause("rule", Level.ERROR, "proven", d, Span(path, 8, 12), (e,), fix, f, ("site",))
    response = Response("HTTP/1.1", 400, g, ((h, i), ("Set-Cookie", a)), b)
    seen = Observed(400, g, "backend", Timings(), ((h, i),), (b,), c, (d,), SENT, response)
    result = Diagnosis(URL.url + e, "broken", (cause,), seen, predicted, False, (Unknown(f),),
                       (Tried("site", g, h, False, 0.1),), i)  # fmt: skip
    tally = Tally()
    tally.add_access(AccessEntry(101, 3.0, a))
    page = parsed(diagnose(result, subject, Cover(pasted=a, apply_command=b, logs=Logbook(tally, (c,), (d,), e))))
    assert all(char.isprintable() or char in "\n\t" for char in page.text.replace(STYLE, ""))


def test_secrets_are_masked_everywhere() -> None:
    endpoint = parse_ws_url("ws://shop.example/ws?access_token=TOPSECRET1")
    options = HandshakeOptions(headers=(("Cookie", "sid=TOPSECRET2"), ("Authorization", "Bearer TOPSECRET3")))
    sent = build_request(endpoint, options)
    body = "you said TOPSECRET1 and TOPSECRET3"
    answer = Response("HTTP/1.1", 403, "No", (("Set-Cookie", "sid=TOPSECRET4"), ("X-Echo", "TOPSECRET2")), body)
    seen = Observation(
        Verdict.FAILED, "no", "status", handshake=HandshakeResult(sent, answer), transcript=(Entry(0, "sent", ""),)
    )
    subject, _ = site('proxy_pass http://127.0.0.1:3000; proxy_set_header X-Api-Key "TOPSECRET5";')
    predicted = trace(subject.config, Arrival(sent, 80), BUILD)
    assert predicted.outcome.forwarded is not None
    cause = RootCause("rule", Level.ERROR, "proven", "it fails", predicted.outcome.forwarded.handler.span)
    result = found("broken", root_causes=(cause,), observed=observe(seen), predicted=predicted, url=endpoint.url)
    text = diagnose(result, subject, Cover(pasted="'ws://shop.example/ws?access_token=TOPSECRET1' failed"))
    assert "TOPSECRET" not in text
    assert "access_token=***" in text
    assert "Authorization: Bearer ***" in text
    assert "X-Echo: ***" in text


def test_the_cause_comes_with_its_lines_its_evidence_and_the_fix_as_a_diff() -> None:
    subject, predicted = site("proxy_pass http://127.0.0.1:3000;")
    assert predicted.outcome.forwarded is not None
    span = predicted.outcome.forwarded.handler.span
    fix = Fix("speak HTTP/1.1", (Edit(Span(span.path, span.start, span.start), "proxy_http_version 1.1; "),))
    cause = RootCause("upgrade-not-forwarded", Level.ERROR, "proven", "it is lost", span, ("seen twice",), fix, "do it")
    text = diagnose(found("broken", root_causes=(cause,)), subject, Cover(apply_command="ws101 fix --apply"))
    assert '<span class="error">^^' in text
    assert '<span class="removed">- proxy_pass http://127.0.0.1:3000;</span>' in text
    assert '<span class="added">+ proxy_http_version 1.1; proxy_pass http://127.0.0.1:3000;</span>' in text
    page = parsed(text)
    for said in ("/etc/nginx/nginx.conf:6:2", "seen twice", "proven", "do it", "ws101 fix --apply"):
        assert said in page.text


# the way


def test_the_way_marks_what_is_lost_and_where_it_is_decided() -> None:
    subject, predicted = site("proxy_pass http://127.0.0.1:3000;\n proxy_set_header Host x;")
    text = way(found("broken", predicted=predicted), subject)
    page = Page()
    page.feed(text)
    assert text.count('<tr class="lost">') == 3
    assert "lost: nginx forwards it only if told to" in page.text
    assert "set by nginx.conf:7" in page.text
    assert "nginx.conf:5" in page.text
    assert ("aria-label", "no valid handshake gets to") in page.attributes
    assert "would get no valid opening handshake" in page.text


def test_the_way_of_a_good_handshake_is_whole_and_one_that_never_began_does_not_reach_nginx() -> None:
    subject, predicted = site(f"proxy_pass http://127.0.0.1:3000; {GOOD}")
    good = way(found(predicted=predicted, observed=observe(with_transcript(opened()))), subject)
    assert "no valid handshake" not in good
    assert "gets a valid opening handshake" in good
    refused = way(found("broken", predicted=predicted, observed=observe(lost("refused", connected=False))), subject)
    assert refused.count("no valid handshake gets to") == 1
    assert "would get a valid opening handshake" in refused


def test_an_answer_of_nginx_itself_ends_the_way_there() -> None:
    subject, predicted = site("return 403;")
    text = way(found("broken", predicted=predicted), subject)
    assert "nginx answers 403 itself" in text
    assert "<h3>backend</h3>" not in text


def test_without_a_configuration_the_way_says_who_answered_and_what_is_not_known() -> None:
    text = way(found("broken", observed=observe(with_transcript(_answered(application(404))))), None)
    assert "404 No, from the backend" in text
    assert "what nginx does with each header field is not known" in text


def _answered(response: Response) -> Observation:
    return Observation(Verdict.FAILED, "no", "status", handshake=HandshakeResult(SENT, response))


def test_on_the_wire_stands_what_was_sent_and_only_that() -> None:
    seen = observe(with_transcript(_answered(application(400, "line one\r\nline two"))))
    text = wire(found("broken", observed=seen))
    assert "The client sent" in text
    assert "GET /ws HTTP/1.1\nHost: shop.example" in text
    assert "HTTP/1.1 400 No\nContent-Type: text/plain\n\nline one\nline two" in text
    assert wire(found("broken", observed=observe(lost("refused", connected=False)))) == ""
    assert "would send" in wire(found(predicted=site("return 403;")[1]))


def test_a_long_body_is_cut_and_says_so() -> None:
    seen = observe(with_transcript(_answered(application(400, "x" * 5000))))
    assert "[1000 more bytes]" in wire(found("broken", observed=seen))


# charts


def bars(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(w)) for x, w in re.findall(r'<rect x="([\d.]+)" y="3" width="([\d.]+)"', text)]


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=8), st.none() | st.floats(0, 1e6))
def test_no_bar_leaves_its_chart_and_longer_is_longer(rows: list[tuple[float, float]], limit: float | None) -> None:
    text = chart("what", ("a", "b"), [Bar("x", "y", start, length) for start, length in rows], limit=limit)
    drawn = bars(text)
    assert len(drawn) == sum(length > 0 for _, length in rows)
    assert all(0 <= x <= 1000 and 0 < width <= 1000 and x + width <= 1000.2 for x, width in drawn)
    widths = list(zip((length for _, length in rows if length > 0), (width for _, width in drawn), strict=True))
    assert [width for _, width in sorted(widths)] == sorted(width for _, width in widths)
    assert text.count('class="limit"') == (len(rows) if limit is not None else 0)


def test_the_steps_of_the_handshake_follow_each_other() -> None:
    seen = Observed(101, "", "backend", Timings(0.010, 0.020, None, 0.070))
    text = timeline(found(observed=seen))
    assert bars(text) == [(0.0, 100.0), (100.0, 200.0), (300.0, 700.0)]
    assert "first byte: 100 ms" in text
    assert "Not part of it: TLS." in text


def test_a_handshake_that_broke_off_says_where() -> None:
    seen = Observed(None, "", "nobody", Timings(0.010, 0.020), message="the certificate is not to be trusted")
    assert "It went no further: the certificate is not to be trusted." in timeline(found("broken", observed=seen))
    nothing = Observed(None, "", "nobody", Timings(), message="the name has no address")
    assert "the name has no address" in timeline(found("broken", observed=nothing))
    assert "--offline" in timeline(found())


def tried(name: str, *, passed: bool, **figures: float | str | bool | None) -> Tried:
    return Tried(name, name, f"said of {name}", passed, 5.0, tuple(figures.items()))


def test_silence_shows_what_was_measured_beside_the_timeout_of_the_configuration() -> None:
    _, predicted = site(f"proxy_pass http://127.0.0.1:3000; {GOOD} proxy_read_timeout 3s;")
    items = (
        tried("idle", passed=False, lasted=3.0),
        tried("idle-direct", passed=True, lasted=6.0),
        tried("heartbeat", passed=True, kind="ping", first=1.0, interval=2.0, pruned_after=None),
    )
    text = silence(found(predicted=predicted, tried=items, observed=observe(opened())))
    assert "ended after 3.0 s" in text
    assert "stood for 6 s, and still stands" in text
    (cut, _), (stood, _), _ = ((width, x) for x, width in bars(text))
    assert stood == pytest.approx(2 * cut, rel=0.01)
    assert text.count('class="limit"') == 3
    assert text.count('class="tick"') == 2
    assert "the first after 1 s, then every 2 s" in text
    assert "A heartbeat every 2 s keeps the tunnel open: nginx waits 3 s." in text
    assert "Not measured" not in text


def test_a_heartbeat_that_is_too_slow_is_said_to_be() -> None:
    _, predicted = site(f"proxy_pass http://127.0.0.1:3000; {GOOD} proxy_read_timeout 20s;")
    beat = tried("heartbeat", passed=True, kind="engine.io", first=25.0, interval=25.0, pruned_after=20.0)
    text = silence(found(predicted=predicted, tried=(beat,), observed=observe(opened())))
    assert "A heartbeat every 25 s comes too late to keep the tunnel open: nginx waits 20 s." in text
    assert "a dead peer is dropped after" in text
    assert "how long a silent tunnel lasts" in text


def test_what_was_not_measured_says_how_it_is() -> None:
    works = silence(found(observed=observe(opened())))
    assert "ws101 &#x27;ws://shop.example/ws&#x27; --idle --heartbeat" in works
    broken = silence(found("broken", observed=observe(_answered(application(400)))))
    assert "A tunnel has to open first." in broken
    assert "No answer" in diagnose(found("broken", observed=observe(lost("refused"))), None, Cover())


def test_tunnels_of_the_logs_are_a_histogram_whose_piles_are_named() -> None:
    tally = Tally("/ws?x=1")
    for age, number, target in ((60.0, 20, "/ws?token=a"), (3.0, 2, "/ws"), (200.0, 2, "/ws"), (60.0, 9, "/other")):
        for _ in range(number):
            tally.add_access(AccessEntry(101, age, target))
    text = logbook(Logbook(tally, ("/var/log/a.log",), ("/b.gz: broken",), "/ws"))
    assert "How long 24 tunnels lived." in text
    assert "20 ended 60 s after they began, as at a timeout (nginx&#x27;s default proxy_read_timeout" in text
    assert text.count('class="warn"') == 1
    assert "45 s to 55 s" in text
    assert "/b.gz: broken" in text


def test_logs_that_do_not_tell_say_why() -> None:
    tally = Tally()
    assert "No tunnel has ended" in logbook(Logbook(tally, ("/a",)))
    tally.add_access(AccessEntry(101, None, "/ws"))
    assert "has no $request_time" in logbook(Logbook(tally, ("/a",)))
    assert "--access-log" in logbook(None)


def test_a_real_diagnosis_from_facts_is_shown_with_its_experiments() -> None:
    subject, predicted = site("proxy_pass http://127.0.0.1:3000;")
    seen = with_transcript(_answered(application(400)))
    facts = Facts(URL, predicted=predicted, results={"site": seen})
    result = joined_diagnosis(facts, (Tried("site", "the opening handshake", "400 No", False, 0.2),))
    page = parsed(diagnose(result, subject, Cover()))
    assert "the opening handshake" in page.text
    assert ("aria-label", "failed") in page.attributes
    assert "Nothing that was needed was left open." in page.text


def test_an_experiment_that_was_made_again_stands_there_once() -> None:
    items = tuple(Tried(f"again-{n}", "for control", "400 No", False, 0.1) for n in range(3))
    page = parsed(diagnose(found("broken", tried=items), None, Cover()))
    assert page.text.count("for control") == 1
    assert "3 times" in page.text
