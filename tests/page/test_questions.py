from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import ws101
from ws101.cli.requests import Asked
from ws101.nginx.build import Build
from ws101.page.questions import Desk, arrival, builds_of
from ws101.probes.endpoint import parse_ws_url

SITE = """\
events {}
http {
    include conf.d/*.conf;
    server {
        listen 80;
        server_name example.com;
        ssl_certificate tls/site.pem;
        location /ws {
            proxy_pass http://127.0.0.1:3000;
        }
        location /plain { return 204; }
    }
}
"""
FILES = {
    "nginx.conf": SITE.encode(),
    "conf.d/other.conf": b"server {\r\n    listen 81;\r\n    location / { proxy_pass http://127.0.0.1:1; }\r\n}\r\n",
    "tls/site.pem": b"certificate",
    "unused.conf": b"# nobody includes this\n",
}
URL = "ws://example.com/ws"


def opened(files: dict[str, bytes], folder: str = "") -> Desk:
    desk = Desk()
    for name, data in files.items():
        desk.add(folder + name, data)
    said = asked(desk, "open")
    digests = {item["name"]: hashlib.sha256(desk.contents(item["name"])).hexdigest() for item in said["files"]}
    asked(desk, "sums", digests=digests)
    return desk


def asked(desk: Desk, ask: str, **more: Any) -> Any:
    answer = json.loads(desk.ask(json.dumps({"ask": ask, **more})))
    assert "error" not in answer, answer
    return answer


def refused(desk: Desk, ask: str, **more: Any) -> str:
    error = json.loads(desk.ask(json.dumps({"ask": ask, **more})))["error"]
    assert set(error) == {"message", "where", "help"}
    return str(error["message"])


@pytest.fixture
def desk() -> Desk:
    return opened(FILES, "site/")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_the_files_and_the_likely_main_file_are_told(desk: Desk) -> None:
    said = asked(desk, "open")
    assert [item["name"] for item in said["files"]] == [f"site/{name}" for name in FILES]
    assert said["mains"][0] == "site/nginx.conf"
    assert (said["dump"], said["manifest"], said["refused"]) == (False, None, [])


def test_the_findings_are_those_of_check(desk: Desk, folder: Path) -> None:
    look = asked(desk, "look", main="site/nginx.conf", urls=[URL], nginx="1.22.1")
    done = ws101("check", str(folder), "--url", URL, "--nginx-version", "1.22.1", "--format", "json").json
    assert [item["rule"] for item in look["findings"]] == [item["rule"] for item in done["findings"]]
    assert next(item["level"] for item in look["findings"]) == "error"
    assert look["counts"]["error"] == sum(item["level"] == "error" for item in done["findings"])
    assert look["loaded"] == ["site/nginx.conf", "site/conf.d/other.conf"]
    assert look["nginx"] == "nginx 1.22.1"


def test_a_finding_shows_its_source_and_place(desk: Desk) -> None:
    first = asked(desk, "look", main="site/nginx.conf", urls=[URL])["findings"][0]
    text = "".join(part for _, part in first["excerpt"])
    assert "nginx.conf:8:9" in text
    assert "location /ws {" in text
    assert ["error", "^^^^^^^^^^^^^^"] in first["excerpt"]
    assert first["fixes"][0]["safety"] == "safe"
    assert "opening handshake" in first["why"]


def test_the_table_has_every_proxied_route_and_what_is_meant_for_websockets_first(desk: Desk) -> None:
    routes = asked(desk, "look", main="site/nginx.conf")["routes"]
    assert [(row["location"], row["answer"], row["place"]) for row in routes] == [
        ("/ws", "no", "nginx.conf:8"),
        ("/", "no", "conf.d/other.conf:3"),
    ]


def test_more_findings_come_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    server = "    server {{ listen {}; location /ws {{ proxy_pass http://127.0.0.1:1; }} }}\n"
    text = "events {}\nhttp {\n" + "".join(server.format(8000 + n) for n in range(60)) + "}\n"
    desk = opened({"nginx.conf": text.encode()})
    look = asked(desk, "look", main="nginx.conf", nginx="1.22.1")
    total = sum(look["counts"][level] for level in ("error", "warning", "note"))
    rest = asked(desk, "more", **{"from": 50})["findings"]
    assert (len(look["findings"]), len(rest)) == (50, min(50, total - 50))
    assert rest[0]["excerpt"] != look["findings"][-1]["excerpt"]
    assert asked(desk, "more", **{"from": total})["findings"] == []


def test_the_report_to_download_is_that_of_check(desk: Desk, folder: Path) -> None:
    asked(desk, "look", main="site/nginx.conf", nginx="1.22.1", folder=str(folder))
    done = ws101("check", str(folder), "--nginx-version", "1.22.1", "--format", "json")
    assert json.loads(asked(desk, "report")["report"]) == done.json


@pytest.mark.parametrize(
    "url", ["ws://example.com/ws", "wss://example.com/ws?a=1", "ws://127.0.0.1:81/", "ws://[::1]/x"]
)
def test_an_address_is_asked_as_explain_asks_it(url: str) -> None:
    assert arrival(parse_ws_url(url)) == Asked(url).arrival()


def test_a_request_is_explained_as_by_explain(desk: Desk, folder: Path) -> None:
    asked(desk, "look", main="site/nginx.conf", nginx="1.22.1")
    (found,) = asked(desk, "explain", url=URL)["variants"]
    done = ws101("explain", URL, "--conf", str(folder), "--nginx-version", "1.22.1", "--format", "json").json
    assert found["tunnel"]["kind"] == {True: "yes", False: "no"}[done["outcome"]["tunnel"]]
    assert [step["chosen"] for step in found["steps"]][-1] == "http://127.0.0.1:3000"
    lost = [hop["client"] for hop in found["hops"] if hop["lost"]]
    assert lost == ["GET /ws HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"]
    assert found["timeout"] is None


def test_what_nginx_answers_itself_is_said(desk: Desk) -> None:
    asked(desk, "look", main="site/nginx.conf", nginx="1.22.1")
    (found,) = asked(desk, "explain", url="ws://example.com/plain")["variants"]
    assert found["answer"] == {"kind": "no", "text": "nginx answers 204 itself", "body": ""}


def test_versions_that_differ_are_told_apart(desk: Desk) -> None:
    asked(desk, "look", main="site/nginx.conf")
    headings = [item["heading"] for item in asked(desk, "explain", url=URL)["variants"]]
    assert headings == ["nginx before 1.29.7", "nginx 1.29.7 and newer"]


def test_the_fix_is_that_of_fix(desk: Desk, folder: Path) -> None:
    asked(desk, "look", main="site/nginx.conf", urls=[URL], nginx="1.22.1")
    mended = asked(desk, "mend")
    ws101("fix", str(folder), "--url", URL, "--nginx-version", "1.22.1", "--write")
    fixed = {item["name"]: item["text"].encode("latin-1") for item in mended["files"]}
    assert fixed == {name: (folder / name).read_bytes() for name in ("nginx.conf", "conf.d/websocket_upgrade.conf")}


def test_the_diff_can_be_applied_in_the_folder(desk: Desk, folder: Path) -> None:
    asked(desk, "look", main="site/nginx.conf", urls=[URL], nginx="1.22.1")
    mended = asked(desk, "mend", unsafe=True)
    done = subprocess.run(["patch", "-p0"], input=mended["diff"].encode("latin-1"), cwd=folder, check=False)
    assert done.returncode == 0
    for item in mended["files"]:
        assert (folder / item["name"]).read_bytes() == item["text"].encode("latin-1")


def test_the_diff_that_is_shown_hides_secrets_and_the_one_to_apply_does_not() -> None:
    secret = SITE.replace(
        "proxy_pass http", "proxy_set_header Authorization 'Basic c2VjcmV0OnRvcA==';\n            proxy_pass http"
    )
    desk = opened({"nginx.conf": secret.encode()})
    asked(desk, "look", main="nginx.conf", urls=[URL], nginx="1.22.1")
    mended = asked(desk, "mend")
    assert "c2VjcmV0OnRvcA==" in mended["diff"]
    assert "c2VjcmV0OnRvcA==" not in "\n".join(mended["shown"])
    assert any("Authorization" in line and "***" in line for line in mended["shown"])


def test_the_fixed_files_come_as_one_archive_that_is_the_same_each_time(desk: Desk) -> None:
    asked(desk, "look", main="site/nginx.conf", urls=[URL])
    assert "no fixed files" in refused(desk, "bundle")
    files = {item["name"]: item["text"] for item in asked(desk, "mend")["files"]}
    packed = asked(desk, "bundle")["zip"]
    assert packed == asked(desk, "bundle")["zip"]
    with zipfile.ZipFile(io.BytesIO(packed.encode("latin-1"))) as found:
        assert {name: found.read(name).decode("latin-1") for name in found.namelist()} == files


def test_the_manifest_is_that_of_seal_and_sha256sum_accepts_it(desk: Desk, folder: Path) -> None:
    asked(desk, "look", main="site/nginx.conf")
    sealed = asked(desk, "seal")
    done = ws101("seal", str(folder), "--content-only")
    assert sealed["manifest"] == done.out
    assert (sealed["files"], sealed["uncovered"]) == (3, [])
    (folder / "m").write_text(sealed["manifest"])
    check = subprocess.run(
        ["sha256sum", "--strict", "-c", "m"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stdout.count(": OK")) == (0, 3)


def test_what_was_not_given_is_named_as_not_covered() -> None:
    desk = opened({"nginx.conf": SITE.encode()})
    look = asked(desk, "look", main="nginx.conf")
    assert look["unknown"] == ["/etc/nginx/conf.d/*.conf was not given, so what it includes is unknown"]
    assert asked(desk, "seal")["uncovered"] == ["nginx.conf: ssl_certificate tls/site.pem: it was not given"]


def test_a_manifest_among_the_files_is_compared_with() -> None:
    first = opened(FILES)
    asked(first, "look", main="nginx.conf")
    manifest = asked(first, "seal")["manifest"].encode()
    changed = {
        **FILES,
        "nginx.conf": SITE.replace("3000", "3001").encode(),
        "conf.d/other.conf": FILES["conf.d/other.conf"].replace(b"\r\n", b"\n"),
        "conf.d/new.conf": b"#\n",
    }
    del changed["tls/site.pem"]
    desk = opened({**changed, "kept/nginx.manifest": manifest})
    assert asked(desk, "open")["manifest"] == "kept/nginx.manifest"
    asked(desk, "look", main="nginx.conf")
    found = asked(desk, "compare")
    assert found["class"] == "drift"
    assert {item["name"]: item["kind"] for item in found["changes"]} == {
        "nginx.conf": "content",
        "conf.d/other.conf": "line-ends",
        "conf.d/new.conf": "added",
        "tls/site.pem": "removed",
    }


def test_a_manifest_with_modes_is_compared_by_content_alone(desk: Desk, folder: Path) -> None:
    sealed = ws101("seal", str(folder)).out
    assert "# mode" in sealed
    asked(desk, "look", main="site/nginx.conf")
    assert asked(desk, "compare", text=sealed, name="nginx.manifest")["class"] == "clean"
    assert "cannot be read" in refused(desk, "compare", text=sealed + "rubbish\n", name="nginx.manifest")


def test_a_sealed_file_that_nothing_includes_any_more_is_unloaded() -> None:
    first = opened(FILES)
    asked(first, "look", main="nginx.conf")
    manifest = asked(first, "seal")["manifest"]
    desk = opened({**FILES, "nginx.conf": SITE.replace("    include conf.d/*.conf;\n", "").encode()})
    asked(desk, "look", main="nginx.conf")
    kinds = {item["name"]: item["kind"] for item in asked(desk, "compare", text=manifest)["changes"]}
    assert kinds == {"conf.d/other.conf": "unloaded", "nginx.conf": "content"}


def test_digests_that_nobody_gives_are_computed_here() -> None:
    desk = Desk()
    desk.add("nginx.conf", SITE.encode())
    asked(desk, "open")
    assert asked(desk, "sums")["digests"] == {"nginx.conf": hashlib.sha256(SITE.encode()).hexdigest()}


def test_a_dump_knows_where_its_files_stand() -> None:
    dump = f"# configuration file /opt/nginx/nginx.conf:\n{SITE}\n# configuration file /opt/nginx/conf.d/a.conf:\n#\n\n"
    desk = opened({"dump.txt": dump.encode()})
    assert asked(desk, "open")["mains"] == ["/opt/nginx/nginx.conf"]
    look = asked(desk, "look", main="/opt/nginx/nginx.conf")
    assert look["loaded"] == ["/opt/nginx/nginx.conf", "/opt/nginx/conf.d/a.conf"]
    assert look["unknown"] == []
    assert "# folder /opt/nginx\n" in asked(desk, "seal")["manifest"]


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.conf", "a\nb.conf", "\udce4.conf", "ä.conf"], ids=ascii)
def test_odd_names_come_back_as_they_were(name: str) -> None:
    desk = opened({name: SITE.encode()})
    (item,) = asked(desk, "open")["files"]
    assert item["name"] == name
    assert asked(desk, "look", main=name)["loaded"] == [name]


def test_a_name_that_is_no_text_at_all_is_made_one() -> None:
    desk = opened({"\ud800.conf": SITE.encode()})
    assert asked(desk, "open")["files"][0]["name"] == "?.conf"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "there is nothing in it"),
        (b"hello world", "not an nginx configuration"),
        (b"\x7fELF\0\0\0events {}", "there is no such file"),
        (b'{"json": true}', "not an nginx configuration"),
    ],
)
def test_what_is_no_configuration_is_said_to_be_none(data: bytes, said: str) -> None:
    desk = opened({"nginx.conf": data})
    mains = asked(desk, "open")["mains"]
    assert said in refused(desk, "look", main=mains[0] if mains else "none")


def test_a_syntax_error_is_nginxs_own_words_at_its_place() -> None:
    desk = opened({"nginx.conf": SITE.replace("return 204;", "return 204").encode()})
    look = asked(desk, "look", main="nginx.conf", nginx="1.22.1")
    assert look["counts"]["problem"] >= 1
    assert 'unexpected "}"' in look["problems"][0]["message"]


def test_questions_out_of_turn_and_wrong_ones_are_errors_with_help(desk: Desk) -> None:
    assert "no configuration yet" in refused(desk, "explain", url=URL)
    assert "not a version" in refused(desk, "look", main="site/nginx.conf", nginx="new")
    assert refused(desk, "look", main="site/nginx.conf", urls=["nonsense"])
    assert "no such file" in refused(desk, "look", main="elsewhere")
    asked(desk, "look", main="site/nginx.conf")
    assert refused(desk, "explain", url="http://")


def test_nesting_without_end_is_an_answer_and_no_crash() -> None:
    text = "events {}\nhttp {\n" + "server {\n" * 30_000 + "}\n" * 30_001
    desk = opened({"nginx.conf": text.encode()})
    answer = json.loads(desk.ask(json.dumps({"ask": "look", "main": "nginx.conf", "nginx": "1.22.1"})))
    assert "error" in answer or answer["counts"]["problem"] > 0


def test_a_manifest_alone_asks_for_the_configuration() -> None:
    first = opened(FILES)
    asked(first, "look", main="nginx.conf")
    manifest = asked(first, "seal")["manifest"].encode()
    desk = Desk()
    desk.add("nginx.manifest", manifest)
    assert "a manifest and no configuration" in refused(desk, "open")
    first.add("nginx.manifest", manifest)
    assert len(asked(first, "open")["files"]) == len(FILES)


def test_no_version_means_every_version() -> None:
    assert builds_of(" ") == Build.representatives()
    assert builds_of("nginx/1.25.3") == (Build((1, 25, 3)),)
