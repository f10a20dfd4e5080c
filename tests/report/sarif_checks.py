"""What the standard asks of a SARIF log beyond what a schema can say, checked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

LEVELS = {"none", "note", "warning", "error"}


def file_of(location: dict[str, Any], run: dict[str, Any]) -> Path:
    """The file on this disk that an artifactLocation means (3.4)."""
    base = run["originalUriBaseIds"][location["uriBaseId"]]["uri"] if "uriBaseId" in location else ""
    return Path(unquote(urlsplit(urljoin(base, location["uri"])).path))


def text_in(region: dict[str, Any], data: bytes) -> str:
    """The text that lines and columns select (3.30.2), columns counted in code points."""
    lines = data.decode("utf-8", "replace").split("\n")
    first, last = region["startLine"] - 1, region["endLine"] - 1
    if first == last:
        return str(lines[first][region["startColumn"] - 1 : region["endColumn"] - 1])
    return "\n".join(
        [lines[first][region["startColumn"] - 1 :], *lines[first + 1 : last], lines[last][: region["endColumn"] - 1]]
    )


def offences(log: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a log; its files must lie on this disk."""
    if log.get("version") != "2.1.0" or not str(log.get("$schema", "")).endswith("sarif-schema-2.1.0.json"):
        yield "version or $schema"
    for run in log["runs"]:
        yield from _rules(run)
        for number, result in enumerate(run["results"]):
            yield from (f"results[{number}]: {what}" for what in _result(result, run))


def _rules(run: dict[str, Any]) -> Iterator[str]:
    rules = run["tool"]["driver"]["rules"]
    if len({rule["id"] for rule in rules}) != len(rules):
        yield "two rules with one id"
    for rule in rules:
        if not rule["shortDescription"]["text"].endswith("."):
            yield f"{rule['id']}: a description is a sentence (3.11.2)"
        if rule["defaultConfiguration"]["level"] not in LEVELS:
            yield f"{rule['id']}: no such level"


def _result(result: dict[str, Any], run: dict[str, Any]) -> Iterator[str]:
    if run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] != result["ruleId"]:
        yield "ruleIndex leads elsewhere"
    if result["level"] not in LEVELS or not result["message"]["text"]:
        yield "level or message"
    for location in (*result["locations"], *result.get("relatedLocations", ())):
        yield from _region(location["physicalLocation"], run)
    for fix in result.get("fixes", ()):
        for change in fix["artifactChanges"]:
            if not change["replacements"]:
                yield "a change without replacements (3.56.3)"
            for replacement in change["replacements"]:
                place = {"artifactLocation": change["artifactLocation"], "region": replacement["deletedRegion"]}
                yield from _region(place, run)


def _region(place: dict[str, Any], run: dict[str, Any]) -> Iterator[str]:
    path, region = file_of(place["artifactLocation"], run), place.get("region")
    if region is None:
        return
    data = path.read_bytes() if path.exists() else b""
    selected = data[region["byteOffset"] : region["byteOffset"] + region["byteLength"]]
    if selected.decode("utf-8", "replace") != text_in(region, data):
        yield f"{path.name}: bytes and columns select different text: {region}"
    if "snippet" in region and region["snippet"]["text"].encode() != selected:
        yield f"{path.name}: the snippet is not what stands there"


def fixed(result: dict[str, Any], run: dict[str, Any], number: int = 0) -> dict[Path, str]:
    """The files of a result's fix, with its replacements made by lines and columns alone, as an editor makes them."""
    texts = {}
    for change in result["fixes"][number]["artifactChanges"]:
        path = file_of(change["artifactLocation"], run)
        text = path.read_text() if path.exists() else ""
        starts = [0]
        for line in text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
        spots = []
        for replacement in change["replacements"]:
            region = replacement["deletedRegion"]
            start = starts[region["startLine"] - 1] + region["startColumn"] - 1
            end = starts[region["endLine"] - 1] + region["endColumn"] - 1
            spots.append((start, end, replacement.get("insertedContent", {}).get("text", "")))
        for start, end, inserted in sorted(spots, reverse=True):
            text = text[:start] + inserted + text[end:]
        texts[path] = text
    return texts
