from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import CHECK, SITE, mismatches, ws101
from tests.report.sarif_checks import offences

OLD = ("--nginx-version", "1.22.1")
URL = "ws://example.com:8080/ws"
WARNS = SITE.replace(
    "proxy_read_timeout 1h;",
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "nginx.conf").write_text(SITE)
    return tmp_path


def rules_of(site: Path, *args: str) -> set[str]:
    return {item["rule"] for item in ws101("check", str(site), *OLD, *args, "--format", "json").json["findings"]}


def test_select_and_ignore_take_names_and_codes_and_can_be_repeated(site: Path) -> None:
    everything = rules_of(site, "--url", URL)
    assert "upgrade-not-forwarded" in everything
    assert rules_of(site, "--url", URL, "--select", "WS101", "--select", "read-timeout") == {"upgrade-not-forwarded"}
    assert rules_of(site, "--url", URL, "--ignore", "upgrade-not-forwarded") == everything - {"upgrade-not-forwarded"}


def test_a_rule_that_is_not_there_is_an_error_with_the_nearest_name(site: Path) -> None:
    done = ws101("check", str(site), "--select", "upgrade-not-forwardet")
    assert (done.code, done.out) == (2, "")
    assert "there is no rule upgrade-not-forwardet" in done.err
    assert "did you mean upgrade-not-forwarded?" in done.err


@pytest.mark.parametrize(("level", "code"), [("error", 0), ("warning", 1), ("note", 1), ("never", 0)])
def test_fail_on_says_from_which_level_on_the_exit_code_is_1(tmp_path: Path, level: str, code: int) -> None:
    (tmp_path / "nginx.conf").write_text(WARNS)
    done = ws101("check", str(tmp_path), *OLD, "--url", URL, "--fail-on", level, "--format", "json")
    assert {item["level"] for item in done.json["findings"]} >= {"warning"}
    assert done.code == code


def test_statistics_count_instead_of_showing(site: Path) -> None:
    (site / "other.conf").write_text(SITE.replace("/ws", "/chat/ws"))
    both = (str(site), str(site / "other.conf"), "--url", URL, "--url", "ws://example.com:8080/chat/ws")
    done = ws101("check", *both, *OLD, "--statistics", "--select", "WS101")
    assert done.code == 1
    assert done.out.splitlines()[0].split() == ["2", "error", "WS101", "upgrade-not-forwarded", "2", "with", "a", "fix"]
    assert "location" not in done.out
    assert ws101("check", *both, "--statistics", "--format", "json").code == 2


def test_a_fragment_is_read_in_the_context_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / "snippet.conf"
    path.write_text("proxy_pass http://127.0.0.1:3000;\nproxy_set_header Upgrade $http_upgrade;\n")
    done = ws101("check", str(path), *OLD, "--context", "location", "--format", "json")
    assert done.code == 1
    assert "connection" in json.dumps(done.json["findings"]).lower()
    assert any("location block around it" in item["message"] for item in done.json["unknown"])
    main = ws101("check", str(path), *OLD, "--context", "main", "--format", "json")
    assert main.json["problems"], "nginx refuses proxy_pass there"


def test_sarif_is_written_for_files_of_the_working_directory(site: Path) -> None:
    done = ws101("check", "nginx.conf", *OLD, "--url", URL, "--format", "sarif", cwd=site)
    assert done.code == 1
    assert list(offences(done.json)) == []
    run = done.json["runs"][0]
    assert run["artifacts"] == [{"location": {"uri": "nginx.conf", "uriBaseId": "BASE"}}]
    assert run["invocations"][0]["exitCode"] == 1


def test_annotations_name_the_file_in_the_repository(site: Path) -> None:
    (site / "deploy").mkdir()
    (site / "nginx.conf").rename(site / "deploy" / "nginx.conf")
    args = ("--root", "/etc/nginx=deploy", *OLD, "--url", URL, "--format", "github")
    done = ws101("check", "/etc/nginx", *args, cwd=site)
    assert done.code == 1
    assert done.out.startswith("::error file=deploy/nginx.conf,line=6,endLine=9,title=WS101 upgrade-not-forwarded::")


TIMEOUT = "proxy_read_timeout 1h;"
SETTINGS = f'urls = ["{URL}"]\nfail-on = "warning"\nnginx-version = "1.22.1"\n'


def test_settings_are_found_above_the_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "deploy" / "nginx"
    folder.mkdir(parents=True)
    (folder / "nginx.conf").write_text(WARNS)
    assert ws101("check", str(folder), *OLD).code == 0
    (tmp_path / "ws101.toml").write_text(SETTINGS)
    done = ws101("check", str(folder))
    assert done.code == 1
    assert done.out.splitlines()[-1] == f"settings: {tmp_path}/ws101.toml"
    assert "nginx 1.22.1 " in done.out


def test_settings_are_found_above_the_working_directory_for_standard_input(tmp_path: Path) -> None:
    (tmp_path / "ws101.toml").write_text(SETTINGS)
    done = ws101("check", "-", "--format", "json", stdin=SITE.encode(), cwd=tmp_path)
    assert mismatches(done.json, CHECK) == []
    assert done.json["nginx"] == {"version": "1.22.1", "source": "option"}
    assert done.json["findings"][0]["level"] == "error"


def test_the_command_line_goes_before_the_settings(site: Path) -> None:
    (site / "ws101.toml").write_text('select = ["read-timeout"]\nignore = ["WS101"]\nfail-on = "never"\n')
    assert rules_of(site, "--url", URL, "--select", "WS101") == set(), "ignored rules add up"
    (site / "ws101.toml").write_text('select = ["read-timeout"]\nfail-on = "never"\n')
    assert rules_of(site, "--url", URL, "--select", "WS101") == {"upgrade-not-forwarded"}
    assert ws101("check", str(site), *OLD, "--url", URL, "--select", "WS101").code == 0
    assert ws101("check", str(site), *OLD, "--url", URL, "--select", "WS101", "--fail-on", "error").code == 1


def test_other_settings_can_be_named(site: Path) -> None:
    (site / "ws101.toml").write_text("nonsense = 1\n")
    (site / "other.toml").write_text('ignore = ["WS101", "WS134"]\n')
    assert rules_of(site, "--url", URL, "--settings", str(site / "other.toml")) == set()
    done = ws101("check", str(site), "--settings", str(site / "missing.toml"))
    assert (done.code, "cannot read the settings: No such file" in done.err) == (2, True)


def test_an_unknown_key_is_an_error_with_the_nearest_one(site: Path) -> None:
    (site / "ws101.toml").write_text('url = ["ws://example.com/"]\n')
    done = ws101("check", str(site))
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: unknown key url",
        f"  --> {site}/ws101.toml",
        "  help: did you mean urls?",
    ]


def test_a_suppression_with_a_reason_silences_and_one_that_silences_nothing_is_a_finding(site: Path) -> None:
    reasoned = SITE.replace("/ws {", "/ws {  # ws101: ignore[upgrade-not-forwarded] is replaced on Monday")
    (site / "nginx.conf").write_text(reasoned)
    done = ws101("check", str(site), *OLD, "--url", URL)
    assert done.code == 0
    assert "1 finding suppressed" in done.out
    (site / "nginx.conf").write_text(reasoned.replace("upgrade-not-forwarded", "read-timeout"))
    unused = ws101("check", str(site), *OLD, "--url", URL, "--format", "json")
    assert unused.code == 1
    messages = [item["message"] for item in unused.json["findings"] if item["code"] == "WS100"]
    assert messages == ["nothing here to ignore for read-timeout"]


def test_a_suppression_of_a_rule_that_is_not_says_so(site: Path) -> None:
    (site / "nginx.conf").write_text(SITE.replace("/ws {", "/ws {  # ws101: ignore[no-such-rule] because"))
    found = ws101("check", str(site), "--format", "json").json["findings"]
    assert [f["message"] for f in found if f["rule"] == "suppression"] == ["there is no rule no-such-rule to ignore"]


def test_a_suppression_without_a_reason_silences_nothing(site: Path) -> None:
    (site / "nginx.conf").write_text(SITE.replace("/ws {", "/ws {  # ws101: ignore[upgrade-not-forwarded]"))
    done = ws101("check", str(site), *OLD, "--url", URL, "--format", "json")
    assert {item["rule"] for item in done.json["findings"]} == {
        "upgrade-not-forwarded",
        "host-not-forwarded",
        "suppression",
    }


def test_fix_goes_by_the_settings_too(site: Path) -> None:
    (site / "ws101.toml").write_text(SETTINGS)
    done = ws101("fix", str(site))
    assert done.code == 0
    assert done.err.splitlines()[0] == f"settings: {site}/ws101.toml"
    assert "+            proxy_set_header Upgrade $http_upgrade;" in done.out
    (site / "ws101.toml").write_text(SETTINGS + 'ignore = ["upgrade-not-forwarded", "WS134"]\n')
    assert ws101("fix", str(site)).out == ""
    assert "unknown key" in ws101("fix", str(site), "--settings", str(_misspelt(site))).err


def _misspelt(site: Path) -> Path:
    path = site / "other.toml"
    path.write_text("ignor = []\n")
    return path


def test_the_last_line_counts_what_the_named_command_mends(tmp_path: Path) -> None:
    good = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    shadowed = SITE.replace(TIMEOUT, f"{good} {TIMEOUT} }} location ~ ^/w {{ proxy_pass http://127.0.0.1:3000;")
    found = set()
    for text in (SITE, shadowed):
        (tmp_path / "nginx.conf").write_text(text)
        for line in ws101("check", str(tmp_path), *OLD, "--url", URL).out.splitlines():
            if " can be fixed" in line:
                said, _, command = line.partition(": ")
                fixed = ws101(*command.split()[1:], *OLD, "--format", "json").json
                assert int(said.split()[0]) == len(fixed["fixed"])
                found.add("--unsafe" in command)
    assert found == {True, False}
