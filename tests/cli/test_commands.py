from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import (
    CHECK,
    DIAGNOSE,
    EXPLAIN,
    EXPLAIN_UNKNOWN,
    FIXED,
    SITE,
    fingerprint,
    mismatches,
    ws101,
)

URL = "ws://example.com:8080/ws"
OLD = ("--nginx-version", "1.22.1")
WORKING = SITE.replace(
    "proxy_read_timeout 1h;",
    'proxy_http_version 1.1; proxy_set_header upgrade $http_upgrade; proxy_set_header connection "upgrade";\n'
    "            proxy_set_header Host $http_host;\n            proxy_read_timeout 1h;",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "nginx.conf").write_text(SITE)
    return tmp_path


def test_the_shape_of_the_storys_check_report(site: Path) -> None:
    done = ws101("check", str(site), "--url", URL, *OLD, "--format", "json")
    assert done.code == 1
    assert mismatches(done.json, CHECK) == []
    finding = done.json["findings"][0]
    assert (finding["rule"], finding["level"], finding["line"]) == ("upgrade-not-forwarded", "error", 6)
    assert finding["file"] == str(site / "nginx.conf")
    assert done.json["nginx"] == {"version": "1.22.1", "source": "option"}
    route = done.json["routes"][0]
    assert (route["location"], route["tunnel"], route["websocket"]) == ("/ws", False, "intended")


def test_check_underlines_the_place_and_answers_for_every_route(site: Path) -> None:
    done = ws101("check", "nginx.conf", "--url", URL, *OLD, cwd=site)
    assert done.code == 1
    assert done.out.splitlines()[2:7] == [
        f" --> {site}/nginx.conf:6:9",
        "5 │         server_name example.com;",
        "6 │         location /ws {",
        "  │         ^^^^^^^^^^^^^^",
        "7 │             proxy_pass http://127.0.0.1:3000;",
    ]
    assert "Would a WebSocket get through here?" in done.out
    assert "example.com  /ws       http://127.0.0.1:3000  no" in done.out
    assert "1 error, 1 note in 1 file · nginx 1.22.1 (--nginx-version)" in done.out
    assert "ws101 fix nginx.conf --url ws://example.com:8080/ws" in done.out


def test_a_hint_alone_is_a_warning_and_fails_only_if_asked(site: Path) -> None:
    assert ws101("check", str(site), *OLD).code == 0
    assert ws101("check", str(site), *OLD, "--fail-on", "warning").code == 1
    assert ws101("check", str(site), *OLD, "--fail-on", "never", "--url", URL).code == 0


def test_a_working_configuration_gets_no_finding_and_no_edit(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(WORKING)
    checked = ws101("check", str(tmp_path), "--url", URL, *OLD, "--format", "json")
    assert (checked.code, checked.json["findings"]) == (0, [])
    assert checked.json["routes"][0]["tunnel"] is True
    fixed = ws101("fix", str(tmp_path), "--url", URL, *OLD)
    assert (fixed.code, fixed.out) == (0, "")
    assert "nothing to fix" in fixed.err


def test_no_route_beside_an_error_that_bites_on_the_way_back_gets_a_yes(tmp_path: Path) -> None:
    hidden = WORKING.replace("location /ws {", "proxy_hide_header Upgrade;\n        location /ws {")
    (tmp_path / "nginx.conf").write_text(hidden)
    done = ws101("check", str(tmp_path), *OLD)
    assert "example.com  /ws       http://127.0.0.1:3000  no         proxy-hide-upgrade-header" in done.out
    asked = ws101("check", str(tmp_path), *OLD, "--format", "json")
    assert mismatches(asked.json, CHECK) == []
    assert [(row["tunnel"], row["through"]) for row in asked.json["routes"]] == [(True, False)]


def test_a_part_whose_includes_are_not_there_is_no_error_and_no_all_clear(tmp_path: Path) -> None:
    (tmp_path / "proxy.conf").write_text("server { listen 80; location / { include conf.d/proxy.conf; } }\n")
    done = ws101("check", "proxy.conf", *OLD, cwd=tmp_path)
    assert done.code == 0
    assert "no findings, but not everything is known, in 1 file" in done.out
    assert '"conf.d/proxy.conf" could not be read' in done.out


def test_a_part_is_written_and_not_applied_for_no_nginx_runs_it(tmp_path: Path) -> None:
    whole, part = tmp_path / "nginx.conf", tmp_path / "site.conf"
    whole.write_text(SITE)
    part.write_text(SITE[SITE.index("http {") + 6 : SITE.rindex("}")])
    told = [ws101("fix", str(path), "--url", URL, *OLD).err for path in (whole, part)]
    assert ["--write" in text for text in told] == [True, True]
    assert ["--apply" in text for text in told] == [True, False]


def test_a_no_without_a_finding_says_what_nginx_does_instead(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(WORKING.replace("location /ws {", "return 301 https://a; location /ws {"))
    assert "no         nginx redirects it (301)" in ws101("check", str(tmp_path), *OLD).out


def test_the_server_around_a_pasted_location_is_not_made_up(tmp_path: Path) -> None:
    (tmp_path / "ws.conf").write_text("location /ws { proxy_pass http://127.0.0.1:3000; }\n")
    assert "?       /ws       http://127.0.0.1:3000  no" in ws101("check", "ws.conf", *OLD, cwd=tmp_path).out


def test_where_nginx_refuses_the_files_the_table_says_so(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(WORKING + "}")
    done = ws101("check", str(tmp_path), *OLD)
    assert done.code == 1
    assert "(nginx refuses these files: a yes counts when it accepts them)" in done.out


def test_several_paths_stand_in_one_report(site: Path) -> None:
    (site / "other.conf").write_text(WORKING)
    done = ws101("check", "nginx.conf", "other.conf", *OLD, "--format", "json", cwd=site)
    assert [Path(name).name for name in done.json["files"]] == ["nginx.conf", "other.conf"]
    assert mismatches(done.json, CHECK) == []


def test_a_fragment_on_standard_input_is_checked_for_every_version(site: Path) -> None:
    fragment = b"location /ws { proxy_pass http://127.0.0.1:3000; proxy_set_header Upgrade $http_upgrade; }\n"
    done = ws101("check", "-", "--format", "json", stdin=fragment)
    assert done.code == 1
    assert done.json["nginx"] == {"version": None, "source": "unknown"}
    assert mismatches(done.json, CHECK) == []
    assert any("only a part" in item["message"] for item in done.json["unknown"])


DUMP = f"""nginx: the configuration file /etc/nginx/nginx.conf syntax is ok
# configuration file /etc/nginx/nginx.conf:
events {{}}
http {{ include conf.d/*.conf; }}

# configuration file /etc/nginx/conf.d/site.conf:
{SITE.split("http {")[1].rstrip().removesuffix("}")}
"""


@pytest.mark.parametrize("how", ["-", "dump.txt"])
def test_a_dump_is_read_with_its_own_file_names(tmp_path: Path, how: str) -> None:
    (tmp_path / "dump.txt").write_text(DUMP)
    done = ws101("check", how, "--url", URL, *OLD, "--format", "json", stdin=DUMP.encode(), cwd=tmp_path)
    assert done.code == 1
    assert done.json["files"] == ["/etc/nginx/nginx.conf", "/etc/nginx/conf.d/site.conf"]
    assert done.json["findings"][0]["file"] == "/etc/nginx/conf.d/site.conf"


def test_a_copy_of_another_machines_folder_is_read_under_its_own_names(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "conf.d").mkdir(parents=True)
    (copy / "nginx.conf").write_text("events {}\nhttp { include /etc/nginx/conf.d/*.conf; }\n")
    (copy / "conf.d/site.conf").write_text(SITE.split("http {")[1].rstrip().removesuffix("}"))
    for given in ("/etc/nginx", "copy", "copy/nginx.conf"):
        root = ("--root", "/etc/nginx=copy")
        done = ws101("check", given, *root, "--url", URL, "--format", "json", cwd=tmp_path)
        assert done.json["files"] == ["/etc/nginx/nginx.conf", "/etc/nginx/conf.d/site.conf"], given
        assert done.json["nginx"]["source"] == "unknown"


def test_writing_a_fix_through_a_root_changes_the_copy(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "nginx.conf").write_text(SITE)
    done = ws101("fix", "/etc/nginx", "--root", "/etc/nginx=copy", "--url", URL, *OLD, "--write", cwd=tmp_path)
    assert done.code == 0
    assert "proxy_set_header Upgrade $http_upgrade;" in (copy / "nginx.conf").read_text()


def test_explain_shows_the_way_of_the_request(site: Path) -> None:
    done = ws101("explain", URL, "--conf", str(site), *OLD)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == URL
    assert any(line.startswith("  location    /ws") and line.endswith("nginx.conf:6") for line in lines)
    upgrade = next(line for line in lines if line.lstrip().startswith("Upgrade: websocket"))
    assert "✗  cut" in upgrade
    assert any("Connection: Upgrade" in line and line.endswith("→  Connection: close") for line in lines)
    assert "tunnel      no: " in done.out


def test_the_shape_of_an_explanation(site: Path) -> None:
    done = ws101("explain", URL, "--conf", str(site), *OLD, "--format", "json")
    assert mismatches(done.json, EXPLAIN) == []
    outcome = done.json["outcome"]
    assert outcome["request"]["raw"].startswith("GET /ws HTTP/1.0\r\nHost: 127.0.0.1:3000\r\n")
    assert (outcome["kind"], outcome["tunnel"], outcome["idle_timeout"]) == ("proxied", False, 3600.0)
    assert outcome["upstream"]["address"] == "127.0.0.1:3000"


def test_where_versions_differ_and_the_version_is_unknown_each_outcome_has_its_condition(site: Path) -> None:
    text = (site / "nginx.conf").read_bytes()
    done = ws101("explain", URL, "--conf", "-", "--format", "json", stdin=text)
    assert mismatches(done.json, EXPLAIN_UNKNOWN) == []
    conditions = [item["condition"] for item in done.json["outcomes"]]
    assert conditions[0] == "nginx before 1.29.7"
    versions = {item["condition"]: item["request"]["version"] for item in done.json["outcomes"]}
    assert versions["nginx before 1.29.7"] == "HTTP/1.0"
    assert {v for c, v in versions.items() if c != "nginx before 1.29.7"} == {"HTTP/1.1"}


def test_explain_takes_the_request_from_its_options(site: Path) -> None:
    options = ("--http", "--method", "POST", "--header", "X-Test: é", "--http-version", "1.0")
    done = ws101("explain", URL, "--conf", str(site), *OLD, *options, "--format", "json")
    request = done.json["outcome"]["request"]
    assert request["method"] == "POST"
    assert ["X-Test", "Ã©"] in request["headers"]
    assert not any(name == "Sec-WebSocket-Key" for name, _ in request["headers"])


def test_compare_explains_both_kinds_of_request(site: Path) -> None:
    done = ws101("explain", URL, "--conf", str(site), *OLD, "--compare")
    assert "opening handshake" in done.out
    assert "plain request" in done.out


def test_secrets_are_masked_wherever_a_request_is_shown(site: Path) -> None:
    text = SITE.replace("proxy_read", 'proxy_set_header Authorization "Basic c2VjcmV0"; proxy_read')
    (site / "nginx.conf").write_text(text)
    for output in ("terminal", "json"):
        done = ws101("explain", URL, "--conf", str(site), *OLD, "--header", "Cookie: a=hidden99", "--format", output)
        assert "c2VjcmV0" not in done.out
        assert "hidden99" not in done.out


@pytest.mark.skipif(shutil.which("patch") is None, reason="the program patch is not installed")
def test_the_printed_diff_is_what_write_does(site: Path) -> None:
    before = fingerprint(site)
    printed = ws101("fix", "nginx.conf", "--url", URL, *OLD, cwd=site)
    assert printed.code == 0
    assert fingerprint(site) == before
    copy = site / "copy.conf"
    copy.write_text(SITE)
    subprocess.run(["patch", "-s", "copy.conf"], input=printed.out.encode(), cwd=site, check=True)
    written = ws101("fix", "nginx.conf", "--url", URL, *OLD, "--write", cwd=site)
    assert written.code == 0
    assert copy.read_bytes() == (site / "nginx.conf").read_bytes()
    again = ws101("fix", "nginx.conf", "--url", URL, *OLD, "--write", cwd=site)
    assert (again.code, again.out) == (0, "")


def test_the_hint_to_apply_names_the_program_with_its_full_path(site: Path) -> None:
    done = ws101("fix", str(site), "--url", URL, *OLD)
    hint = next(line for line in done.err.splitlines() if line.endswith("--apply"))
    command = hint.split("proof")[1].split()
    program = command[1] if command[0] == "sudo" else command[0]
    assert program.startswith("/")
    assert Path(program).exists()


def test_the_shape_of_a_fix_report(site: Path) -> None:
    done = ws101("fix", str(site), "--url", URL, *OLD, "--format", "json")
    assert done.code == 0
    assert mismatches(done.json, FIXED) == []
    assert done.json["class"] == "fixed"
    assert done.json["changed"][0]["diff"].startswith(f"--- {site}/nginx.conf\n")


def test_the_quick_style_and_the_idle_timeout_are_taken(site: Path) -> None:
    (site / "nginx.conf").write_text(SITE.replace("            proxy_read_timeout 1h;\n", ""))
    done = ws101("fix", str(site), "--url", URL, *OLD, "--style", "quick", "--idle-timeout", "2h")
    assert '+            proxy_set_header Connection "upgrade";' in done.out
    assert "+            proxy_read_timeout 7200s;" in done.out


def test_an_offline_diagnosis_names_cause_place_and_fix(site: Path) -> None:
    done = ws101("diagnose", URL, "--conf", str(site), "--offline", *OLD)
    assert done.code == 1
    assert done.out.startswith(f"BROKEN  {URL}\n")
    assert "error[upgrade-not-forwarded] proven" in done.out
    assert f"--> {site}/nginx.conf:6:9" in done.out
    assert "+            proxy_set_header Upgrade $http_upgrade;" in done.out
    assert "--apply" in done.out


def test_the_shape_of_an_offline_diagnosis(site: Path) -> None:
    done = ws101(URL, "--conf", str(site), "--offline", *OLD, "--format", "json")
    assert mismatches(done.json, DIAGNOSE) == []
    assert done.json["verdict"] == "broken"
    assert (done.json["observed"], done.json["agrees"]) == (None, None)


def test_a_pasted_line_is_kept_beside_the_verdict(site: Path) -> None:
    line = f"WebSocket connection to '{URL}' failed: Error during WebSocket handshake: Unexpected response code: 400"
    done = ws101(line, "--conf", str(site), "--offline", *OLD)
    assert line in done.out


def test_a_diagnosis_from_a_dump_offers_no_command_that_cannot_work(site: Path) -> None:
    done = ws101(URL, "--conf", "-", "--offline", *OLD, stdin=DUMP.encode())
    assert done.code == 1
    assert "Apply it" not in done.out


def test_the_rules_are_listed_and_each_has_a_page() -> None:
    listed = ws101("rule")
    assert "upgrade-not-forwarded" in listed.out
    page = ws101("rule", "WS101")
    assert page.out.startswith("upgrade-not-forwarded  WS101  error\n")
    for part in ("Why it matters", "Bad", "Good", "References"):
        assert f"\n{part}" in page.out
    assert ws101("rule", "upgrade-not-forwarded", "--format", "json").json["schema"] == "ws101/rules/1"


def test_without_a_change_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    done = ws101("undo", WS101_STATE=str(tmp_path))
    assert done.code == 2
    assert ws101("undo", "--list", WS101_STATE=str(tmp_path)).out == "no change was ever made\n"


def test_the_same_fix_in_two_places_says_where(tmp_path: Path) -> None:
    fields = "proxy_pass http://127.0.0.1:1; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
    body = f"{fields} proxy_set_header Connection upgrade;"
    servers = f"server {{ listen 80; location /ws {{ {body} }} location /hub {{ {body} }} }}"
    (tmp_path / "nginx.conf").write_text(f"events {{}}\nhttp {{ {servers} }}\n")
    done = ws101("fix", "nginx.conf", cwd=tmp_path)
    assert "read-timeout: location /ws: raise proxy_read_timeout" in done.err
    assert "read-timeout: location /hub: raise proxy_read_timeout" in done.err
