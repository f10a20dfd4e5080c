"""What the staged causes are built from: a real nginx, applications, certificates, and the program itself."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.live.applications import GO, NODE, PYTHON, Backend
from ws101.cli import main
from ws101.host.binary import NginxBinary, all_nginx
from ws101.http1 import Request
from ws101.lab.backends import Answer, StoryApp, accept, default_answer, plain
from ws101.lab.nginx import Nginx, until, wrap
from ws101.lab.ports import free_ports

GOOD = (
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    'proxy_set_header Connection "upgrade"; proxy_set_header Host $http_host; proxy_read_timeout 1h;'
)
"""What a location for WebSockets says."""

NAME = "shop.example"


class Missing(Exception):
    """A real part that this machine does not have."""


@dataclass(frozen=True)
class Site:
    """What is to be diagnosed: the program's arguments."""

    url: str
    args: tuple[str, ...] = ()
    conf: Path | None = None
    prefix: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        conf = ("--conf", str(self.conf)) if self.conf else ("--no-conf",)
        return (self.url, *conf, *self.args, "--format", "json")


@dataclass
class Stage:
    """One staged cause."""

    rule: str
    how: str
    build: Callable[[Parts], Site]
    confidence: str = "proven"
    slow: bool = False
    verdict: str = "broken"

    @property
    def name(self) -> str:
        return f"{self.rule}:{self.build.__name__}"


STAGES: list[Stage] = []


def stage(
    rule: str, how: str, *, confidence: str = "proven", slow: bool = False, verdict: str = "broken"
) -> Callable[[Callable[[Parts], Site]], Callable[[Parts], Site]]:
    """Register a way to stage a cause."""

    def register(build: Callable[[Parts], Site]) -> Callable[[Parts], Site]:
        STAGES.append(Stage(rule, how, build, confidence, slow, verdict))
        return build

    return register


class Application(StoryApp):
    """A real WebSocket application that answers as told what it does not take."""

    def __init__(self, answer: Answer, **options: Any) -> None:
        super().__init__("/", ping_interval=None, **options)
        self._answer = answer

    def refuse(self, request: Request) -> bytes | None:
        data = self._answer if isinstance(self._answer, bytes) else self._answer(request)
        return None if data.startswith(b"HTTP/1.1 101 ") else data


@dataclass
class Parts:
    """Hands out parts, and takes all of them away in the end."""

    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Parts:
        self.stack.__enter__()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="ws101-live-")))
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)

    def port(self) -> int:
        return free_ports(1)[0]

    def app(self, answer: Answer = default_answer, **options: Any) -> str:
        """An application that answers as told; its address."""
        return self.stack.enter_context(Application(answer, **options)).address

    def story(self, path: str = "/ws", **options: Any) -> StoryApp:
        return self.stack.enter_context(StoryApp(path, **options))

    def nginx(self, http: str, *, files: dict[str, str | bytes] | None = None, **options: Any) -> Nginx:
        user, binary = options.pop("user", "root"), options.get("binary")
        text = wrap(http, **options)
        text = re.sub(r"(?m)^user [^;]*;", f"user {user};", text)
        return self.stack.enter_context(Nginx(text, files=files, binary=binary))

    def site(self, location: str, *, path: str = "/ws", listen: str = "", more: str = "", **options: Any) -> Site:
        """An nginx with one location; the site at its address."""
        port = self.port()
        server = f"server {{ listen 127.0.0.1:{port}{listen}; {more} location {path} {{ {location} }} }}"
        nginx = self.nginx(f"{options.pop('http', '')}\n{server}", **options)
        scheme = "wss" if " ssl" in listen else "ws"
        return Site(f"{scheme}://127.0.0.1:{port}{path}", conf=nginx.conf_path)

    def through(self, address: str, extra: str = "", *, settings: str = GOOD, **options: Any) -> Site:
        """A site whose one location is well configured, before a backend."""
        return self.site(f"proxy_pass http://{address}; {settings} {extra}", **options)

    def certificate(self, name: str, *, days: int = 30, signed: bool = False) -> tuple[Path, Path]:
        """A certificate for a name and its key: self-signed, or signed by an authority that is trusted here."""
        if shutil.which("openssl") is None:
            raise Missing("openssl")
        stem = self.folder / f"{name.strip('*.')}{days}"
        key, pem, request = (stem.with_suffix(end) for end in (".key", ".pem", ".csr"))
        if pem.exists():
            return pem, key
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key))
        names = ("-addext", f"subjectAltName={'IP' if name[0].isdigit() else 'DNS'}:{name}")
        if not signed:
            _openssl("req", "-x509", *kind, "-out", str(pem), "-days", str(days), "-subj", f"/CN={name}", *names)
            return pem, key
        authority, authority_key = self.certificate("authority.example", days=60)
        os.environ["SSL_CERT_FILE"] = str(authority)
        self.stack.callback(os.environ.pop, "SSL_CERT_FILE", None)
        _openssl("req", *kind, "-out", str(request), "-subj", f"/CN={name}", *names)
        ca = ("-CA", str(authority), "-CAkey", str(authority_key), "-copy_extensions", "copyall", "-days", str(days))
        _openssl("x509", "-req", "-in", str(request), "-out", str(pem), *ca)
        return pem, key

    def tls(self, name: str = "127.0.0.1", **options: Any) -> str:
        pem, key = self.certificate(name, **options)
        return f"ssl_certificate {pem}; ssl_certificate_key {key};"

    def process(
        self, *command: str, port: int, cwd: Path | None = None, libraries: str = "", host: str = "127.0.0.1"
    ) -> subprocess.Popen[bytes]:
        """A program that listens on a port, with a folder of libraries for Python."""
        env = {**os.environ, **({"PYTHONPATH": libraries} if libraries else {})}
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.stack.callback(_end, process)
        until(lambda: _listens(port, host) or process.poll() is not None, f"listener on {port}", 15)
        if process.poll() is not None:
            raise Missing(f"{command[0]} ended at once")
        return process

    def node(self, script: str, port: int) -> subprocess.Popen[bytes]:
        """An application in Node."""
        wanted = re.findall(r'require\("(?!http")([a-z.]+)"\)', script)
        if shutil.which("node") is None or not all((NODE / "node_modules" / name).is_dir() for name in wanted):
            raise Missing(f"node with {' and '.join(wanted)} (make live)")
        path = NODE / f"app-{os.getpid()}-{port}.js"
        path.write_text(script.replace("PORT", str(port)))
        self.stack.callback(path.unlink, missing_ok=True)
        return self.process("node", str(path), port=port, cwd=NODE)

    def python(self, script: str, port: int, needs: str = "", *, at: Apart | None = None) -> subprocess.Popen[bytes]:
        """An application in Python, with the libraries of a folder of PYTHON_PACKAGES; here or on another machine."""
        path = self.folder / f"app{port}.py"
        path.write_text(script.replace("PORT", str(port)))
        if needs and not (PYTHON / needs / ".packages").exists():
            raise Missing(f"the Python libraries of {needs} (make live)")
        libraries = str(PYTHON / needs) if needs else ""
        if at is None:
            return self.process(_python(), str(path), port=port, libraries=libraries)
        path.write_text(path.read_text().replace("127.0.0.1", at.address))
        return self.process(*at.prefix, _python(), str(path), port=port, libraries=libraries, host=at.address)

    def gorilla(self, port: int) -> subprocess.Popen[bytes]:
        """An application in Go: an echo at /ws with gorilla/websocket's own check of Origin."""
        if not GO.exists():
            raise Missing("a server in Go with gorilla/websocket (make live; it needs golang-go and its library)")
        return self.process(str(GO), str(port), port=port)

    def backend(self, item: Backend) -> int:
        """An application of the matrix; its port."""
        port = self.port()
        if item.language == "go":
            self.gorilla(port)
        elif item.language == "node":
            self.node(item.script, port)
        else:
            self.python(item.script, port, item.needs)
        return port

    def mistaken(self, port: int, target: str, settings: str) -> Site:
        """A backend behind an nginx below 1.29.7, which speaks HTTP/1.0 unless told otherwise."""
        binary = self.binary((1, 0), (1, 29, 7))
        path = target.partition("?")[0]
        site = self.site(f"proxy_pass http://127.0.0.1:{port}; {settings}", path=path, binary=binary)
        version = ("--nginx-version", binary.build.number)
        return Site(site.url.removesuffix(path) + target, version, site.conf)

    def binary(self, at_least: tuple[int, ...], below: tuple[int, ...]) -> NginxBinary:
        """An nginx between two versions."""
        found = (item for item in all_nginx() if at_least <= item.build.version < below)
        binary = next(found, None)
        if binary is None:
            raise Missing(f"an nginx below {'.'.join(map(str, below))}")
        return binary

    def with_hosts(self, name: str, before: str, after: str, port: str) -> Site:
        """A site whose backend has another address since nginx started: each of the two sees its own hosts file."""
        listen = self.port()
        server = f"server {{ listen 127.0.0.1:{listen}; location /ws {{ proxy_pass http://{name}:{port}; {GOOD} }} }}"
        nginx = Nginx(wrap(server))
        self.stack.callback(nginx.stop)
        then, now = (self._with_hosts(f"{address} {name}\n") for address in (before, after))
        self.process(*then, *nginx.command, port=listen, cwd=nginx.dir)
        return Site(f"ws://127.0.0.1:{listen}/ws", conf=nginx.conf_path, prefix=now)

    def _with_hosts(self, text: str) -> tuple[str, ...]:
        """A command before a command: it runs with another /etc/hosts, in a mount namespace of its own."""
        hosts = self.folder / f"hosts{text.partition(' ')[0]}"
        hosts.write_text(f"127.0.0.1 localhost\n{text}")
        before = ("unshare", "--mount", sys.executable, "-c", _BIND, str(hosts))
        if (
            shutil.which("unshare") is None
            or subprocess.run([*before, "true"], capture_output=True, check=False).returncode != 0
        ):
            raise Missing("a mount namespace")
        return before

    def apart(self) -> Apart:
        """Another machine: a network namespace, and the link to it, which can be cut."""
        if os.geteuid() != 0:
            raise Missing("root, for a network namespace")
        if shutil.which("ip") is None:
            raise Missing("ip (apt-get install iproute2)")
        number = next(_MACHINES)  # a namespace goes some time after it was deleted
        found = Apart(f"ws101-{os.getpid()}-{number}", f"10.{200 + os.getpid() % 50}.{number % 256}", number)
        self.stack.callback(found.remove)
        found.make()
        return found

    def balancer(self, port: int, goal: tuple[str, int], preface: bytes = b"") -> None:
        """A load balancer for TCP that sends something of its own first."""
        script = _BALANCER.format(port=port, goal=goal, preface=preface)
        self.python(script, port)

    def frozen(self, process: subprocess.Popen[bytes]) -> None:
        """Stop a process so that its kernel still accepts and nobody answers."""
        os.kill(process.pid, signal.SIGSTOP)
        self.stack.callback(os.kill, process.pid, signal.SIGCONT)


@dataclass(frozen=True)
class Apart:
    """A network namespace with one link to it.

    Args:
        name: Its name.
        net: The first three numbers of the link's addresses: ours ends in 1, the other end in 2.
        number: Makes the link's name one of its own.
    """

    name: str
    net: str
    number: int

    @property
    def address(self) -> str:
        """The other end's."""
        return f"{self.net}.2"

    @property
    def prefix(self) -> tuple[str, ...]:
        """A command before a command, which then runs there."""
        return ("ip", "netns", "exec", self.name)

    @property
    def link(self) -> str:
        """The name of the link at the other end."""
        return self._ends[1]

    @property
    def _ends(self) -> tuple[str, str]:
        return f"w{os.getpid()}a{self.number}", f"w{os.getpid()}b{self.number}"

    def make(self) -> None:
        """Set it up."""
        ours, theirs = self._ends
        steps = (
            ("netns", "add", self.name),
            ("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self.name),
            ("address", "add", f"{self.net}.1/30", "dev", ours),
            ("link", "set", ours, "up"),
            ("-n", self.name, "address", "add", f"{self.address}/30", "dev", theirs),
            ("-n", self.name, "link", "set", theirs, "up"),
            ("-n", self.name, "link", "set", "lo", "up"),
        )
        for step in steps:
            done = _ip(*step)
            if done.returncode != 0:
                raise Missing(f"a network namespace ({done.stderr.strip()})")

    def remove(self) -> None:
        """Take it away; the link first, because connections that nobody ends keep the namespace for a while."""
        _ip("link", "delete", self._ends[0])
        _ip("netns", "delete", self.name)

    def cut(self) -> None:
        """Cut the link: whoever is at the other end vanishes without a word."""
        done = _ip("-n", self.name, "link", "set", self.link, "down")
        assert done.returncode == 0, done.stderr


_MACHINES = itertools.count()


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


_BALANCER = """\
import socket, threading
def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for sock in (a, b):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
listener = socket.create_server(("127.0.0.1", {port}))
while True:
    one, _ = listener.accept()
    two = socket.create_connection({goal})
    two.sendall({preface})
    threading.Thread(target=copy, args=(one, two), daemon=True).start()
    threading.Thread(target=copy, args=(two, one), daemon=True).start()
"""

_BIND = """\
import os, subprocess, sys
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/hosts"], check=True)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def _python() -> str:
    return str(Path(__file__).resolve().parents[2] / ".venv" / "bin" / "python")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _listens(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 0.2):
        return True
    return False


def answering(decide: Callable[[Request], str | None], status: int = 403, reason: str = "Forbidden") -> Answer:
    """An application that completes the handshake unless ``decide`` says why not."""

    def answer(request: Request) -> bytes:
        refused = decide(request)
        return default_answer(request) if refused is None else plain(status, reason, refused)

    return answer


@dataclass(frozen=True)
class Told:
    """What the program said of a site, and how long it took."""

    code: int
    json: dict[str, Any]
    seconds: float

    @property
    def first(self) -> dict[str, Any]:
        causes = self.json["root_causes"]
        return causes[0] if causes else {"rule": None, "confidence": None, "message": "nothing found", "evidence": []}


def diagnose(site: Site) -> Told:
    """Run the program, in this process unless it has to see another machine than we do."""
    if site.prefix:
        return _diagnose_apart(site)
    buffer = io.BytesIO()
    begin = time.monotonic()
    with contextlib.redirect_stdout(io.TextIOWrapper(buffer, encoding="utf-8", write_through=True)) as out:
        code = main([*site.command])
        out.flush()
        seconds = time.monotonic() - begin
        return Told(code, json.loads(buffer.getvalue() or b"{}"), seconds)


def _diagnose_apart(site: Site) -> Told:
    begin = time.monotonic()
    done = subprocess.run(
        [*site.prefix, sys.executable, "-m", "ws101", *site.command], capture_output=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")},
    )  # fmt: skip
    return Told(done.returncode, json.loads(done.stdout or b"{}"), time.monotonic() - begin)


__all__ = [
    "GOOD", "NAME", "STAGES", "Missing", "Parts", "Site", "Stage", "Told", "accept", "answering", "diagnose", "plain",
    "stage",
]  # fmt: skip
