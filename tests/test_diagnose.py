"""Joining what is known: which experiments are planned, which cause comes first, and what is never said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ws101.diagnose import Experiment, Facts, Place, RootCause, Surroundings, beyond, diagnose, plan
from ws101.diagnose.base import equal_answers
from ws101.diagnose.experiments import CANDIDATES, MOST, with_field, without
from ws101.findings import Finding, Label, Level
from ws101.http1 import Kind, Request, Response
from ws101.logs import Clue
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.outcome import Arrival, Trace
from ws101.nginx.trace import trace
from ws101.probes.core import FAILURES, Connection, HandshakeResult, Observation, Timings, Verdict
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.handshake import HandshakeOptions, build_request
from ws101.text import Span

URL = parse_ws_url("ws://shop.example/ws")
BACKEND = Place(parse_ws_url("http://127.0.0.1:3000"), backend=True, insecure=True)
SENT = build_request(URL, HandshakeOptions())
STOOD = Connection("10.0.0.1:80", timings=Timings(tcp=0.001))
GOOD = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'


def page(status: int, title: str) -> Response:
    """nginx's own page."""
    lines = (
        "<html>",
        f"<head><title>{status} {title}</title></head>",
        "<body>",
        f"<center><h1>{status} {title}</h1></center>",
    )
    text = "\r\n".join((*lines, "<hr><center>nginx/1.22.1</center>", "</body>", "</html>", ""))
    return Response("HTTP/1.1", status, title, (("Server", "nginx/1.22.1"), ("Content-Type", "text/html")), text)


def application(status: int, body: str = "no", reason: str = "No") -> Response:
    return Response("HTTP/1.1", status, reason, (("Content-Type", "text/plain"),), body)


def opened() -> Observation:
    response = Response("HTTP/1.1", 101, "Switching Protocols", (("Sec-WebSocket-Accept", "x"),))
    return Observation(Verdict.PASSED, "a tunnel", handshake=HandshakeResult(SENT, response), connection=STOOD)


def answered(response: Response, class_: str = "status") -> Observation:
    lines = tuple(line for line in response.body.split("\n") if line)[:1]
    result = HandshakeResult(SENT, response, kind=Kind.HTTP, body_lines=lines)
    message = f"the server answered {response.status}"
    return Observation(Verdict.FAILED, message, class_, handshake=result, connection=STOOD)


def lost(class_: str, *, connected: bool = True) -> Observation:
    seen = STOOD if connected else Connection()
    return Observation(Verdict.FAILED, FAILURES[class_], class_, handshake=HandshakeResult(SENT), connection=seen)


def predicted(location: str, *, version: tuple[int, int, int] = (1, 22, 1)) -> Trace:
    text = f"http {{ server {{ listen 80; server_name shop.example; location /ws {{ {location} }} }} }}"
    config = Config(MemoryFiles({"nginx.conf": text.encode()}), "nginx.conf")
    return trace(config, Arrival(SENT, 80), Build(version))


def facts(site: Observation | None, trace: Trace | None = None, **results: Observation) -> Facts:
    named = {name.replace("_", "-"): seen for name, seen in results.items()}
    if site is not None:
        named["site"] = site
    return Facts(URL, predicted=trace, backends=(BACKEND,) if trace or "direct" in named else (), results=named)


def finding(rule: str = "upgrade-not-forwarded", level: Level = Level.ERROR) -> Finding:
    return Finding(rule, "WS101", level, "nothing forwards Upgrade", Span("nginx.conf", 0, 1))


def first(of: Facts) -> RootCause:
    return diagnose(of).root_causes[0]


PROXIED = predicted(f"proxy_pass http://127.0.0.1:3000; {GOOD}")
BARE = predicted("proxy_pass http://127.0.0.1:3000;")


# requests with one thing changed


def test_a_field_takes_the_place_of_those_of_its_name() -> None:
    request = Request("GET", "/", headers=(("Host", "a"), ("Origin", "b"), ("origin", "c"), ("X", "d")))
    assert with_field(request, "ORIGIN", "e").headers == (("Host", "a"), ("ORIGIN", "e"), ("X", "d"))
    assert with_field(request, "New", "e").headers[-1] == ("New", "e")
    assert without(request, "origin").headers == (("Host", "a"), ("X", "d"))


# equality


def test_figures_in_a_body_do_not_make_another_answer() -> None:
    one = answered(application(400, "at 12:00:01 request 1a2b3c4d5e"))
    assert equal_answers(one, answered(application(400, "at 13:10:59 request ffff0000ff")))
    assert not equal_answers(one, answered(application(400, "at noon")))
    assert not equal_answers(one, answered(application(404, "at 12:00:01 request 1a2b3c4d5e")))


@pytest.mark.parametrize(
    ("status", "title", "class_"),
    [(502, "Bad Gateway", "eof"), (502, "Bad Gateway", "reset"), (502, "Bad Gateway", "refused"),
     (504, "Gateway Time-out", "timeout")],
)  # fmt: skip
def test_what_nginx_makes_of_a_silent_backend_equals_its_silence(status: int, title: str, class_: str) -> None:
    assert equal_answers(answered(page(status, title)), lost(class_))
    assert not equal_answers(answered(application(status)), lost(class_))
    assert not equal_answers(answered(page(404, "Not Found")), lost(class_))


# the plan


def names(of: Facts) -> set[str]:
    return {experiment.name for experiment in plan(of)}


def test_offline_nothing_is_tried() -> None:
    assert plan(facts(None, PROXIED)) == ()


def test_a_site_that_works_is_asked_once_more_as_a_browser_would() -> None:
    assert names(Facts(URL, results={"site": opened()})) == {"browser"}
    assert names(Facts(URL, results={"site": opened(), "browser": opened()})) == set()


def test_the_backend_is_asked_directly_and_then_with_the_predicted_request() -> None:
    site = answered(application(400))
    assert "direct" in names(facts(site, BARE))
    assert "replay" not in names(facts(site, BARE))
    planned = {e.name: e for e in plan(facts(site, BARE, direct=opened()))}
    assert planned["replay"].request.version == "HTTP/1.0"
    assert planned["replay"].request.header("Upgrade") is None


def test_a_backend_that_is_down_is_not_asked_in_other_words() -> None:
    planned = names(facts(answered(page(502, "Bad Gateway")), BARE, direct=lost("refused")))
    assert not any(name.startswith(("replay", "restore", "path", "direct")) for name in planned)


def test_each_difference_is_put_back_alone() -> None:
    text = "proxy_pass http://127.0.0.1:3000/other; proxy_set_header X-Real-IP 10.0.0.1;"
    site = answered(application(400))
    planned = {e.name: e for e in plan(facts(site, predicted(text), direct=opened(), replay=site))}
    restored = {name.removeprefix("restore-") for name in planned if name.startswith("restore-")}
    assert restored == {"handshake", "connection", "host", "target", "forwarded"}
    assert planned["restore-target"].request.target == "/ws"
    assert planned["restore-host"].request.header("Host") == "shop.example"
    assert planned["restore-forwarded"].request.header("X-Real-IP") is None
    assert planned["restore-handshake"].request.version == "HTTP/1.1"
    assert planned["restore-handshake"].request.header("Upgrade") == "websocket"


def test_without_a_configuration_the_backend_gets_what_a_proxy_may_have_made_of_it() -> None:
    planned = names(facts(answered(application(400)), direct=opened()))
    assert {name for name, *_ in CANDIDATES} <= planned
    assert "as-own-host" in planned


def test_nothing_is_followed_to_another_host() -> None:
    moved = Response("HTTP/1.1", 301, "Moved", (("Location", "https://evil.example/ws"),))
    assert "redirected" not in names(Facts(URL, results={"site": answered(moved, "redirect")}))
    moved = Response("HTTP/1.1", 301, "Moved", (("Location", "https://shop.example/ws/"),))
    (planned,) = [e for e in plan(Facts(URL, results={"site": answered(moved, "redirect")})) if e.name == "redirected"]
    assert (planned.place.endpoint.scheme, planned.place.endpoint.port, planned.request.target) == ("wss", 443, "/ws/")


ANSWERS = st.one_of(
    st.builds(opened),
    st.sampled_from(sorted(FAILURES)).map(lost),
    st.builds(lambda c: lost(c, connected=False), st.sampled_from(["dns", "refused", "timeout", "unreachable"])),
    st.builds(
        lambda status, body: answered(application(status, body)),
        st.sampled_from([200, 301, 400, 401, 403, 404, 426, 429, 431, 500, 502, 503, 504, 505, 521]),
        st.sampled_from(["", "no", "origin not allowed", '{"code":1,"message":"Session ID unknown"}']),
    ),
    st.sampled_from([(400, "Bad Request"), (403, "Forbidden"), (500, "Internal Server Error"), (502, "Bad Gateway"),
                     (503, "Service Temporarily Unavailable"), (504, "Gateway Time-out")])
    .map(lambda pair: answered(page(*pair))),
)  # fmt: skip
CLUES = st.lists(
    st.sampled_from(["worker-connections", "rate-limit", "upstream-unreachable", "read-timeout", "backend-closes"]).map(
        lambda rule: Clue(rule, "said", "a line", "/var/log/nginx/error.log", upstream="10.0.0.9:3000")
    ),
    max_size=2,
).map(tuple)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([None, PROXIED, BARE]), CLUES, st.booleans())
def test_whatever_comes_back_the_doctor_ends_with_a_verdict_and_a_reason(
    data: st.DataObject, trace: Trace | None, clues: tuple[Clue, ...], stale: bool
) -> None:
    results: dict[str, Observation] = {"site": data.draw(ANSWERS)}
    around = Surroundings(stale=("nginx.conf",) if stale else (), resolved=(("backend", ("10.0.0.1",)),))
    findings = data.draw(st.sampled_from([(), (finding(),)])) if trace else ()
    known = Facts(
        URL, HandshakeOptions(origin="https://a.example", subprotocols=("v1",)), trace, findings,
        (BACKEND, replace(BACKEND, address="::1")), results, clues, around,
    )  # fmt: skip
    asked: list[Experiment] = []
    while todo := plan(known):
        for experiment in todo:
            assert experiment.name not in results, "an experiment is made once"
            asked.append(experiment)
            results[experiment.name] = data.draw(ANSWERS)
    assert len(asked) < MOST
    found = diagnose(known)
    errors = [cause for cause in found.root_causes if cause.level is Level.ERROR]
    assert (found.verdict == "broken") == bool(errors)
    assert known.works or errors, "what fails has a cause, if only a possible one"
    assert len({cause.rule for cause in found.root_causes}) == len(found.root_causes)
    assert all(set(cause.decided_by) <= {*results, "logs"} for cause in found.root_causes)
    ranks = [cause.level.rank for cause in found.root_causes]
    assert ranks == sorted(ranks)


# which cause comes first


def test_an_error_that_backend_and_replay_confirm_is_proven_and_says_so() -> None:
    site = answered(application(426))
    known = replace(facts(site, BARE, direct=opened(), replay=site, restore_handshake=opened()), findings=(finding(),))
    found = diagnose(known)
    assert (found.verdict, found.agrees) == ("broken", True)
    cause = found.root_causes[0]
    assert (cause.rule, cause.confidence) == ("upgrade-not-forwarded", "proven")
    assert 'the predicted request, sent straight to the backend, gets the same: 426 No: "no"' in cause.evidence
    assert cause.decided_by == ("site", "direct", "replay", "restore-handshake")


def test_a_backend_that_is_down_bites_before_a_header_that_is_missing() -> None:
    known = facts(answered(page(502, "Bad Gateway")), BARE, direct=lost("refused", connected=False))
    rules = [cause.rule for cause in diagnose(replace(known, findings=(finding(),))).root_causes]
    assert rules == ["upstream-unreachable", "upgrade-not-forwarded"]


def test_a_password_bites_before_a_header_that_is_missing() -> None:
    known = facts(answered(page(401, "Authorization Required"), "authentication"), BARE, direct=opened())
    rules = [cause.rule for cause in diagnose(replace(known, findings=(finding(),))).root_causes]
    assert rules == ["auth-basic", "upgrade-not-forwarded"]


def test_an_error_whose_handshake_works_is_a_warning() -> None:
    found = diagnose(replace(facts(opened(), BARE), findings=(finding("missing-http-version"),)))
    assert (found.verdict, found.root_causes[0].level) == ("degraded", Level.WARNING)
    assert "others would not" in found.root_causes[0].evidence[-1]


def test_a_tunnel_that_the_configuration_cannot_open_means_another_one_runs() -> None:
    found = diagnose(facts(opened(), BARE))
    assert (found.agrees, found.root_causes[0].rule) == (False, "prediction-differs")


def test_files_that_changed_since_the_workers_started_explain_a_difference() -> None:
    known = facts(answered(application(400)), PROXIED, direct=opened(), replay=opened())
    found = diagnose(replace(known, around=Surroundings(stale=("/etc/nginx/nginx.conf",))))
    assert (found.root_causes[0].rule, found.root_causes[0].confidence) == ("not-reloaded", "proven")
    assert found.agrees is False


def test_files_that_changed_do_not_matter_where_all_is_as_predicted() -> None:
    site = answered(application(400))
    known = facts(site, BARE, direct=opened(), replay=site)
    known = replace(known, around=Surroundings(stale=("nginx.conf",)), findings=(finding(),))
    assert [cause.rule for cause in diagnose(known).root_causes] == ["upgrade-not-forwarded"]


def test_a_clue_of_the_log_from_before_proves_nothing() -> None:
    clue = Clue("worker-connections", "said", "24 worker_connections are not enough", "error.log", fresh=False)
    found = diagnose(replace(facts(answered(page(500, "Internal Server Error"))), clues=(clue,)))
    assert found.root_causes[0].confidence == "possible"


def test_a_fresh_clue_names_what_no_experiment_shows() -> None:
    clue = Clue("worker-connections", "said", "24 worker_connections are not enough", "error.log")
    cause = first(replace(facts(answered(page(500, "Internal Server Error"))), clues=(clue,)))
    assert (cause.rule, cause.confidence) == ("worker-connections", "proven")


def test_two_rooms_that_name_one_cause_are_joined() -> None:
    timeout = Clue("read-timeout", "cut", "3 tunnels ended", "access.log")
    known = replace(facts(opened(), PROXIED), clues=(timeout,), findings=(finding("read-timeout", Level.WARNING),))
    (cause,) = diagnose(known).root_causes
    assert cause.span == finding().span
    assert cause.evidence[-1] == "access.log: 3 tunnels ended"


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (lambda: lost("dns", connected=False), "client-wrong-public-port"),
        (lambda: lost("refused", connected=False), "client-wrong-public-port"),
        (lambda: lost("certificate"), "tls-certificate-untrusted"),
        (lambda: lost("http2-only"), "http2-without-rfc8441"),
        (lambda: answered(page(502, "Bad Gateway")), "upstream-unreachable"),
        (lambda: answered(page(503, "Service Temporarily Unavailable")), "rate-limit"),
        (lambda: answered(page(504, "Gateway Time-out")), "upstream-slow-504"),
        (lambda: answered(application(403)), "app-origin-allowlist"),
        (lambda: answered(application(426)), "upgrade-not-forwarded"),
        (lambda: answered(application(418)), "unexplained"),
    ],
)
def test_from_outside_the_likely_cause_is_named_with_the_next_question(
    answer: Callable[[], Observation], rule: str
) -> None:
    found = diagnose(Facts(URL, results={"site": answer()}))
    assert found.root_causes[0].rule == rule
    certain = {"tls-certificate-untrusted", "http2-without-rfc8441"}
    assert (found.root_causes[0].confidence == "proven") == (rule in certain)
    assert found.root_causes[0].help
    assert found.verdict == "broken"


def test_where_nothing_is_proven_the_next_question_is_asked() -> None:
    assert "--direct" in diagnose(Facts(URL, results={"site": answered(application(400))})).next_question
    assert diagnose(Facts(URL, results={"site": opened()})).next_question == ""


def test_a_page_on_https_may_not_open_ws() -> None:
    secure = HandshakeOptions(origin="https://shop.example")
    assert first(Facts(URL, secure, results={"site": opened()})).rule == "mixed-content-ws-on-https"
    local = parse_ws_url("ws://localhost:3000/ws")
    assert diagnose(Facts(local, secure, results={"site": opened()})).verdict == "works"


def test_what_two_answers_tell_apart_counts_only_where_the_handshake_itself_is_steady() -> None:
    refused = answered(application(403))
    known = facts(refused, own_origin=opened())
    assert {f"control-{n}" for n in range(1, 5)} <= names(known)
    steady = {f"control-{n}": refused for n in range(1, 5)}
    assert first(replace(known, results={**known.results, **steady})).rule == "app-origin-allowlist"
    changing = {**steady, "control-2": opened()}
    rules = [cause.rule for cause in diagnose(replace(known, results={**known.results, **changing})).root_causes]
    assert rules == ["intermittent"]


# offline


def test_offline_the_configuration_alone_speaks() -> None:
    assert diagnose(facts(None, PROXIED)).verdict == "works"
    assert diagnose(replace(facts(None, BARE), findings=(finding(),))).verdict == "broken"
    assert diagnose(facts(None)).verdict == "unknown"


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("root /srv;", "no-websocket-location-spa-fallback"),
        ("return 301 https://$host$request_uri;", "http-to-https-redirect"),
        ("return 301 /elsewhere;", "location-slash-redirect"),
        ("return 403;", "access-denied"),
        ("return 444;", "server-name-mismatch"),
    ],
)
def test_what_nginx_itself_answers_is_a_cause(location: str, rule: str) -> None:
    found = diagnose(facts(None, predicted(location)))
    assert found.verdict in ("broken", "unknown")
    assert found.root_causes[0].rule == rule


def test_two_hops_of_one_nginx_are_judged_both() -> None:
    known = replace(facts(None, PROXIED), inner=BARE, inner_findings=(finding(),))
    cause = first(known)
    assert (cause.rule, cause.confidence) == ("second-proxy-hop", "proven")
    assert cause.span == finding().span


def test_a_tunnel_that_another_path_lost_says_nothing_about_this_one() -> None:
    other = Clue("read-timeout", "cut", 'upstream timed out, request: "GET /other HTTP/1.1"', "error.log", mine=False)
    assert diagnose(replace(facts(opened(), PROXIED), clues=(other,))).root_causes == ()
    mine = diagnose(replace(facts(opened(), PROXIED), clues=(replace(other, mine=True),))).root_causes
    assert [cause.rule for cause in mine] == ["read-timeout"]


def test_an_application_that_answers_101_without_the_subprotocol_is_not_said_to_refuse() -> None:
    answer = Response("HTTP/1.1", 101, "Switching Protocols", (("Sec-WebSocket-Accept", "x"),))
    seen = answered(answer, "missing-subprotocol")
    known = facts(seen, PROXIED, direct=seen, replay=seen, no_subprotocols=opened())
    rules = [
        cause.rule for cause in diagnose(replace(known, options=HandshakeOptions(subprotocols=("v1",)))).root_causes
    ]
    assert "backend-not-websocket-capable" not in rules
    assert "subprotocol-mismatch" in rules


def test_a_heartbeat_that_comes_in_time_takes_the_warning_of_the_timeout_back() -> None:
    known = replace(facts(opened(), PROXIED), findings=(finding("read-timeout", Level.WARNING),))
    assert diagnose(known).verdict == "degraded"
    for seconds, verdict in ((20.0, "works"), (59.5, "degraded")):
        pings = Observation(Verdict.PASSED, "it pings", details=(("interval", seconds),))
        found = diagnose(replace(known, results={**known.results, "heartbeat": pings}))
        assert (found.verdict, found.root_causes[0].rule) == (verdict, "read-timeout")
    assert "twice as fast as the timeout" in found.root_causes[0].help


def test_where_nothing_listens_what_nginx_would_do_comes_later() -> None:
    named = replace(
        facts(lost("refused", connected=False), PROXIED),
        findings=(finding("server-name-mismatch"),),
        ports=((80, False),),
    )
    causes = diagnose(named).root_causes
    assert [cause.rule for cause in causes] == ["client-wrong-public-port", "server-name-mismatch"]
    assert "where the configuration has nginx listen" in causes[0].message
    refused = replace(named, findings=(finding("config-syntax-error"),))
    assert diagnose(refused).root_causes[0].rule == "config-syntax-error", "then nginx cannot start"


def test_backends_that_refuse_each_in_its_way_do_not_contradict_the_prediction() -> None:
    text = "upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001; } server { listen 80; location / { %s } }"
    config = Config(MemoryFiles({"c": f"http {{ {text % 'proxy_pass http://app;'} }}".encode()}), "c")
    several = trace(config, Arrival(SENT, 80), Build((1, 22, 1)))
    for prediction, agreed in ((BARE, False), (several, None)):
        known = facts(answered(application(505)), prediction, replay=answered(application(400)))
        assert beyond.agrees(known) is agreed


# tunnels that ended together


def dropped(certain: bool | None, main_lines: str = "") -> tuple[RootCause, ...]:
    text = (
        f"{main_lines} http {{ server {{ listen 80; location /ws {{ proxy_pass http://127.0.0.1:3000; {GOOD} }} }} }}"
    )
    found = trace(
        Config(MemoryFiles({"nginx.conf": text.encode()}), "nginx.conf"), Arrival(SENT, 80), Build((1, 22, 1))
    )
    clue = Clue("reload-drops-connections", "", "9 tunnels of different age ended at noon", "/a.log", certain=certain)
    known = diagnose(replace(facts(opened(), found), clues=(clue,)))
    return tuple(one for one in known.root_causes if one.rule.endswith(("-drops", "-drops-connections")))


LIMIT = "worker_shutdown_timeout 10s;"


@pytest.mark.parametrize(
    ("certain", "main_lines", "expected"),
    [
        (True, LIMIT, [("reload-drops-connections", "proven", Level.WARNING, ("logs",))]),
        (None, LIMIT, [("reload-drops-connections", "proven", Level.WARNING, ())]),
        (
            False,
            LIMIT,
            [
                ("reload-drops-connections", "proven", Level.NOTE, ()),
                ("backend-restart-drops", "possible", Level.NOTE, ("logs",)),
            ],
        ),
        (False, "", [("backend-restart-drops", "possible", Level.NOTE, ("logs",))]),
    ],
)
def test_tunnels_that_ended_together_are_a_reloads_only_where_one_can_end_them(
    certain: bool | None, main_lines: str, expected: list[object]
) -> None:
    found = dropped(certain, main_lines)
    assert [(one.rule, one.confidence, one.level, one.decided_by) for one in found] == expected


def test_what_the_logs_do_not_tell_of_a_worker_is_said() -> None:
    (cause,) = dropped(None, LIMIT)
    assert cause.evidence[-1] == "whether a worker ended them, an error log at the level notice would tell"
    (cause,) = dropped(False)
    assert "worker_shutdown_timeout is not set" in cause.evidence[-1]


def test_a_label_that_only_shows_a_place_is_no_evidence() -> None:
    labels = (Label(Span("nginx.conf", 0, 1), "here too"), Label(Span("nginx.conf", 0, 1), "WebSockets pass here"),
              Label(Span("nginx.conf", 0, 1), "this discards the fields above"))  # fmt: skip
    known = replace(facts(answered(application(400)), BARE), findings=(replace(finding(), labels=labels),))
    evidence = first(known).evidence
    assert "this discards the fields above" in evidence
    assert not {"here too", "WebSockets pass here"} & {*evidence}


# an end that has fallen silent


def measured(class_: str, verdict: Verdict = Verdict.FAILED, **details: bool | float | str) -> Observation:
    named = tuple(details.items())
    return replace(opened(), verdict=verdict, class_=class_, message=f"as measured: {class_}", details=named)


@pytest.mark.parametrize(
    ("probe", "seen", "confidence"),
    [
        ("heartbeat", measured("vanished", answered_first=True), "proven"),
        ("heartbeat", measured("vanished", answered_first=False), "likely"),
        ("idle", measured("no-pong", Verdict.UNDECIDED, ended="open", answers=False), "likely"),
    ],
)
def test_an_end_that_answers_no_ping_is_proven_gone_only_if_it_answered_before(
    probe: str, seen: Observation, confidence: str
) -> None:
    found = diagnose(replace(facts(opened(), PROXIED), results={"site": opened(), probe: seen}))
    (cause,) = [one for one in found.root_causes if one.rule == "peer-vanished"]
    assert (cause.confidence, cause.decided_by, found.verdict) == (confidence, (probe,), "degraded")
    assert any("ignores pings" in clause for clause in cause.evidence) is (confidence == "likely")


def test_a_silent_tunnel_that_is_cut_through_the_site_alone_is_not_said_to_live_on_unproven() -> None:
    cut = measured("cut", silent=60.0, ended="fin", lasted=60.0)
    unsure = measured("no-pong", Verdict.UNDECIDED, lasted=75.0, ended="open")
    for direct, said in ((unsure, "is not cut in that time"), (replace(unsure, verdict=Verdict.PASSED), "lives on")):
        known = replace(facts(opened(), PROXIED), results={"site": opened(), "idle": cut, "idle-direct": direct})
        (cause,) = [one for one in diagnose(known).root_causes if one.rule.endswith("-timeout")]
        assert any(said in clause for clause in cause.evidence), cause.evidence
