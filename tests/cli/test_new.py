from __future__ import annotations

from pathlib import Path

from tests.cli.support import ws101
from ws101.host.binary import NginxBinary
from ws101.lab.nginx import accepts

GIVEN = ("new", "--server-name", "example.com", "--upstream", "127.0.0.1:3000")


def test_what_it_prints_is_accepted_as_it_is_and_check_finds_nothing(tmp_path: Path, binary: NginxBinary) -> None:
    done = ws101(*GIVEN, "--nginx", binary.path, "--whole")
    assert (done.code, done.err) == (0, "")
    accepted, output = accepts(done.out, binary=binary)
    assert accepted, output
    (tmp_path / "nginx.conf").write_text(done.out)
    checked = ws101("check", str(tmp_path), "--nginx", binary.path, "--fail-on", "note")
    assert checked.code == 0
    assert "no findings" in checked.out


def test_the_certificates_it_expects_are_named() -> None:
    done = ws101(*GIVEN, "--tls", "/etc/ssl/x.pem", "/etc/ssl/x.key", "--nginx-version", "1.25.1")
    assert done.code == 0
    assert "http2 on;" in done.out
    assert done.err == "note: nginx reads the certificate chain from /etc/ssl/x.pem and its key from /etc/ssl/x.key\n"


def test_what_makes_no_sense_is_said_in_three_parts() -> None:
    done = ws101("new", "--server-name", "a;b", "--upstream", "127.0.0.1:3000")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: a;b is no server name")
    assert "help: write it as example.com" in done.err
    assert ws101("new", "--upstream", "127.0.0.1:3000").code == 2
