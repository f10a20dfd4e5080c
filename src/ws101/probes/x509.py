"""What a certificate says, read from its DER bytes: names and validity, and no more (RFC 5280 section 4.1).

The ``ssl`` module shows the fields of a certificate only if it trusts it, and it is the others that need explaining.
Nothing is verified here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ws101.lazy import dataclass
from ws101.probes.core import CertificateFacts
from ws101.text import lower

__all__ = ["covers", "read_certificate"]

_COMMON_NAME = b"\x55\x04\x03"
_ALT_NAMES = b"\x55\x1d\x11"
_SHORT = {
    b"\x55\x04\x03": "CN",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x0a": "O",
}


@dataclass(frozen=True, slots=True)
class _Item:
    tag: int
    body: bytes

    def items(self) -> tuple[_Item, ...]:
        return tuple(_items(self.body))


def read_certificate(der: bytes) -> CertificateFacts:
    """The facts of a certificate.

    Raises:
        ValueError: If the bytes are no X.509 certificate.
    """
    try:
        fields = list(next(_items(der)).items()[0].items())
        if fields[0].tag == 0xA0:
            del fields[0]
        _serial, _algorithm, issuer, validity, subject, *others = fields
        start, end = (_time(item) for item in validity.items())
        names = tuple(name for item in others if item.tag == 0xA3 for name in _alternative_names(item))
        return CertificateFacts(_name(subject), _name(issuer), start, end, names)
    except (IndexError, StopIteration, RuntimeError) as error:
        raise ValueError("these bytes are no X.509 certificate") from error


def covers(names: tuple[str, ...], host: str) -> bool:
    """Whether a certificate for ``names`` is for ``host``: exactly, or by one ``*`` as the first label (RFC 6125)."""
    host = lower(host).removesuffix(".")
    parent = host.partition(".")[2]
    return any(lower(name) in (host, f"*.{parent}" if parent else host) for name in names)


def _items(data: bytes) -> Iterator[_Item]:
    """The items of a DER value, one level deep."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + size > len(data):
            raise ValueError("a DER value is cut short")
        yield _Item(tag, data[at : at + size])
        at += size


def _name(item: _Item) -> str:
    pairs = [pair.items() for group in item.items() for pair in group.items()]
    found = [(pair[0].body, _string(pair[1])) for pair in pairs]
    common = [text for kind, text in found if kind == _COMMON_NAME]
    return common[0] if common else ", ".join(f"{_SHORT.get(kind, kind.hex())}={text}" for kind, text in found)


def _string(item: _Item) -> str:
    encodings = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x0C: "utf-8"}
    return item.body.decode(encodings.get(item.tag, "latin-1"), "replace")


def _time(item: _Item) -> str:
    """UTCTime has two digits of the year (below 50: 20xx), GeneralizedTime four."""
    digits = item.body.decode("latin-1").rstrip("Z")
    if item.tag == 0x17:
        digits = ("20" if digits[:2] < "50" else "19") + digits
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[8:10]}:{digits[10:12]}:{digits[12:14]}Z"


def _alternative_names(item: _Item) -> Iterator[str]:
    for extension in item.items()[0].items():
        parts = extension.items()
        if parts[0].body == _ALT_NAMES:
            for name in next(_items(parts[-1].body)).items():
                if name.tag == 0x82:
                    yield name.body.decode("latin-1")
                elif name.tag == 0x87 and len(name.body) in (4, 16):
                    yield str(ipaddress.ip_address(name.body))
