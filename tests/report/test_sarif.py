from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.report.sarif_checks import file_of, fixed, offences, text_in
from ws101.check import CheckReport, check
from ws101.fix import fix
from ws101.host.files import DiskFiles
from ws101.nginx.build import Build
from ws101.nginx.config import Config
from ws101.report.json.base import dump
from ws101.report.places import Places
from ws101.report.sarif import sarif
from ws101.report.subject import Subject
from ws101.rules import RULES, Options

SITE = """\
events {}
http {
    server {
        listen 80; server_name bücher.example;  # ⚙ größer
        location /ws {
            proxy_pass http://127.0.0.1:3000;
            proxy_read_timeout 1h;
        }
        location /status {
            proxy_pass http://$backend$request_uri;
        }
    }
}
"""
URL = "ws://bücher.example/ws"
BUILD = Build((1, 22, 1))
ROOT = Path(__file__).resolve().parents[2]


def read(folder: Path, text: str | bytes, *, roots: tuple[tuple[str, str], ...] = ()) -> tuple[Subject, CheckReport]:
    path = folder / "nginx.conf"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    name = f"{roots[0][0]}/nginx.conf" if roots else str(path)
    config = Config(DiskFiles(roots), name)
    return Subject(config, (BUILD,), "option"), check(config, (BUILD,), Options(urls=("ws://x.example/ws",)))


def log_of(folder: Path, text: str | bytes, exit_code: int = 1) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(dump(sarif([read(folder, text)], Places(str(folder)), exit_code)))
    return log


def schema() -> dict[str, Any] | None:
    """The standard's own schema, where it is at hand."""
    told = os.environ.get("WS101_SARIF_SCHEMA")
    path = Path(told) if told else ROOT.parent / "shared" / "data" / "sarif-schema-2.1.0.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


BROKEN: dict[str, str | bytes] = {
    "the story": SITE,
    "several faults": SITE.replace("proxy_read_timeout 1h;", 'proxy_set_header Upgrade "no"; proxy_set_header X 1;'),
    "refused": SITE.rstrip().removesuffix("}"),
    "carriage returns": SITE.replace("\n", "\r\n"),
    "no last line end": SITE.rstrip("\n"),
    "no utf-8": SITE.encode().replace("ü".encode(), b"\xfc"),
    "suppressed": SITE.replace("location /ws {", "location /ws { # ws101: ignore[upgrade-not-forwarded] soon gone"),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=list(BROKEN))
def test_a_log_is_what_the_standard_asks_for(tmp_path: Path, text: str | bytes) -> None:
    log = log_of(tmp_path, text)
    assert list(offences(log)) == []
    assert log["runs"][0]["results"]


@pytest.mark.parametrize("text", BROKEN.values(), ids=list(BROKEN))
def test_the_standards_schema_accepts_it(tmp_path: Path, text: str | bytes) -> None:
    found = schema()
    if found is None:
        pytest.skip("the standard's schema is not at hand (WS101_SARIF_SCHEMA)")
    validator = jsonschema.validators.validator_for(found)
    assert [error.message for error in validator(found).iter_errors(log_of(tmp_path, text))] == []


def test_every_rule_has_a_descriptor_with_its_page(tmp_path: Path) -> None:
    rules = log_of(tmp_path, SITE)["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["WS000", "WS100", *(rule.code for rule in RULES)]
    described = {rule["id"]: rule for rule in rules}
    for rule in RULES:
        assert described[rule.code]["name"] == rule.name
        assert described[rule.code]["shortDescription"]["text"] == rule.page.summary
        for pair in rule.page.pairs[:1]:
            assert pair.good.files[0][1].strip() in described[rule.code]["help"]["markdown"]
    assert sum(bool(rule.page.pairs) for rule in RULES) > 40


def test_columns_count_characters_and_select_the_place(tmp_path: Path) -> None:
    log = log_of(tmp_path, SITE.replace("location /ws {", "location /ws { # ü").replace("/ws {", "/ws{"))
    run = log["runs"][0]
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert text_in(region, (tmp_path / "nginx.conf").read_bytes()).startswith("location /ws{ # ü")


def test_a_fix_made_from_the_log_alone_is_the_fix_of_the_tool(tmp_path: Path) -> None:
    subject, report = read(tmp_path, SITE)
    run = json.loads(dump(sarif([(subject, report)], Places(str(tmp_path)), 1)))["runs"][0]
    result = next(item for item in run["results"] if item["ruleId"] == "WS101")
    options = Options(urls=("ws://x.example/ws",), select=frozenset({"upgrade-not-forwarded"}))
    expected = fix(subject.config, (BUILD,), options).texts[str(tmp_path / "nginx.conf")]
    assert fixed(result, run) == {tmp_path / "nginx.conf": expected.encode("latin-1").decode()}


def test_a_suppressed_finding_is_there_and_marked(tmp_path: Path) -> None:
    results = log_of(tmp_path, BROKEN["suppressed"])["runs"][0]["results"]
    marked = [result for result in results if "suppressions" in result]
    assert [(item["ruleId"], item["suppressions"]) for item in marked] == [("WS101", [{"kind": "inSource"}])]


def test_what_cannot_be_known_is_a_notification(tmp_path: Path) -> None:
    invocation = log_of(tmp_path, SITE, 1)["runs"][0]["invocations"][0]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (True, 1)
    notes = invocation["toolExecutionNotifications"]
    assert any(note["message"]["text"].startswith("unknown: ") for note in notes)
    assert log_of(tmp_path, SITE, 2)["runs"][0]["invocations"][0]["executionSuccessful"] is False


def test_a_fingerprint_outlives_lines_inserted_above(tmp_path: Path) -> None:
    def prints(text: str) -> list[str]:
        return [r["partialFingerprints"]["place/v1"] for r in log_of(tmp_path, text)["runs"][0]["results"]]

    twice = SITE.replace("        location /status", "        location /ws {\n        }\n        location /status")
    assert prints(SITE) == prints("# one more line\n" + SITE)
    assert len(set(prints(twice))) == len(prints(twice))


def test_a_copy_of_another_machines_files_is_found_where_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "deploy files"
    folder.mkdir()
    result = read(folder, SITE, roots=(("/etc/nginx", str(folder)),))
    places = Places(str(tmp_path), DiskFiles((("/etc/nginx", str(folder)),)).disk_name)
    run = json.loads(dump(sarif([result], places, 1)))["runs"][0]
    location = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": "deploy%20files/nginx.conf", "uriBaseId": "BASE"}
    assert file_of(location, run) == folder / "nginx.conf"


def test_a_wrong_log_is_noticed(tmp_path: Path) -> None:
    log = log_of(tmp_path, SITE)
    result = log["runs"][0]["results"][0]
    result["ruleIndex"] = 0
    result["locations"][0]["physicalLocation"]["region"]["startColumn"] += 1
    found = list(offences(log))
    assert any("ruleIndex" in offence for offence in found)
    assert any("different text" in offence for offence in found)
