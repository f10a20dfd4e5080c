from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.probes.core import CertificateFacts
from ws101.probes.x509 import covers, read_certificate


def make(folder: Path, subject: str, names: str) -> bytes:
    """A certificate's DER bytes, made by openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not installed")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(folder / "key.pem"), "-days", "36500", "-subj", subject, "-utf8", "-outform", "DER"]
    return subprocess.run(command + (["-addext", names] if names else []), check=True, capture_output=True).stdout


def test_names_and_validity_are_read_as_openssl_wrote_them(tmp_path: Path) -> None:
    der = make(
        tmp_path, "/O=Example/CN=b\u00fccher.example", "subjectAltName=DNS:a.example,DNS:*.b.example,IP:10.0.0.1,IP:::1"
    )
    facts = read_certificate(der)
    pem = base64.encodebytes(der).decode()
    dates = subprocess.run(
        ["openssl", "x509", "-noout", "-dates", "-dateopt", "iso_8601"],
        input=f"-----BEGIN CERTIFICATE-----\n{pem}-----END CERTIFICATE-----\n",
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert facts.subject == facts.issuer == "b\u00fccher.example"
    assert facts.names == ("a.example", "*.b.example", "10.0.0.1", "::1")
    assert f"notBefore={facts.not_before.replace('T', ' ')}" in dates
    assert f"notAfter={facts.not_after.replace('T', ' ')}" in dates


def test_a_subject_without_a_common_name_is_shown_whole(tmp_path: Path) -> None:
    facts = read_certificate(make(tmp_path, "/C=DE/O=Example", ""))
    assert (facts.subject, facts.names) == ("C=DE, O=Example", ())


@pytest.mark.parametrize(
    ("names", "host", "expected"),
    [
        (("example.com",), "example.com", True),
        (("Example.com",), "EXAMPLE.com.", True),
        (("*.example.com",), "a.example.com", True),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "a.b.example.com", False),
        (("*.com",), "com", False),
        (("a", "b"), "b", True),
        (("127.0.0.1",), "127.0.0.1", True),
        ((), "example.com", False),
    ],
)
def test_a_certificate_covers_its_names_and_one_label_by_a_star(
    names: tuple[str, ...], host: str, expected: bool
) -> None:
    assert covers(names, host) is expected


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"certificate|DER|unpack"):
        read_certificate(data)


@given(st.data())
def test_a_damaged_certificate_is_read_or_refused(data: st.DataObject) -> None:
    der = bytearray(base64.b64decode(SAMPLE))
    at = data.draw(st.integers(0, len(der) - 1))
    der[at] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(der)))
    for damaged in (bytes(der), bytes(der[:length])):
        try:
            facts = read_certificate(damaged)
        except ValueError:
            continue
        assert isinstance(facts, CertificateFacts)


def test_the_sample_is_intact() -> None:
    assert read_certificate(base64.b64decode(SAMPLE)).names == ("localhost",)


SAMPLE = """
MIIBkzCCATmgAwIBAgIUW2qFvBAlZhVWoBLcs6mFjEe78hkwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2
MTEyMzIxNDg1OFoXDTI2MTEyNTIxNDg1OFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
FgiashHhkFuMsxF/NkliNfMJW1/asG6m0cYlX5qEg0xhQRAgsAV6sZr5E44NfGe48VhgfQKVXKrr9ee/1Jhox6NpMGcwHQYDVR0O
BBYEFCls9f4dYN/cpSUtnF2odwlnPAL7MB8GA1UdIwQYMBaAFCls9f4dYN/cpSUtnF2odwlnPAL7MA8GA1UdEwEB/wQFMAMBAf8w
FAYDVR0RBA0wC4IJbG9jYWxob3N0MAoGCCqGSM49BAMCA0gAMEUCIQCEHoiC2T1RNhbPEmFp/9G5HQC05VNsjaAU21/c/HtCKQIg
VWVdUqp+UkMYJ3Wf1iItP85jwNwGH1w6G65gOGwgM5o=
"""
