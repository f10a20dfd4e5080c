"""Make `dist/ws101.html`: one file that holds the page, CPython in WebAssembly, and the pure part of ws101.

Pyodide comes from npm once, into `.cache/pyodide`, and only with the checksum that is pinned here.  The same sources
and the same Python give the same bytes.
"""

from __future__ import annotations

import base64
import fcntl
import gzip
import hashlib
import html
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ws101.nginx.build import BOUNDARIES
from ws101.page.intake import MAX_FILES, MAX_TOTAL

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TARGET = ROOT / "dist" / "ws101.html"
CACHE = ROOT / ".cache" / "pyodide"

PYODIDE = "314.0.7"
PYODIDE_SHA512 = "0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="

WORLDLY = frozenset(("host", "lab", "cli", "__main__.py"))
"""What touches files, processes and sockets, and is left out."""

LARGE = 200_000
"""From so many bytes on the page answers for the newest nginx first, and then for every version."""

LIBRARY = "/lib/python314.zip"
PLACE = "/lib/ws101.zip"
"""Where Python's library and ours lie in the page's file system."""

DROPPED = frozenset(
    (
        *(
            "multiprocessing",
            "xml",
            "xmlrpc",
            "_pyrepl",
            "unittest",
            "pdb",
            "pydoc",
            "pydoc_data",
            "doctest",
            "mailbox",
        ),
        *("wsgiref", "imaplib", "statistics", "optparse", "pickletools", "turtle", "ensurepip", "venv", "sqlite3"),
        *(
            "poplib",
            "smtplib",
            "ftplib",
            "curses",
            "dbm",
            "idlelib",
            "tkinter",
            "test",
            "profile",
            "cProfile",
            "pstats",
        ),
    )
)
"""Parts of Python's library that the page never imports."""

POLICY = (
    "default-src 'none'; script-src {scripts} 'wasm-unsafe-eval'; style-src {styles}; worker-src blob:; "
    "frame-src 'none'; form-action 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types ws101"
)

SAMPLE = """\
events {}

http {
    server {
        listen 443 ssl;
        server_name example.com;
        ssl_certificate     /etc/ssl/example.com.pem;
        ssl_certificate_key /etc/ssl/example.com.key;

        location / {
            root /var/www/example;
        }

        location /ws {
            proxy_pass http://localhost:3000;
        }
    }
}
"""
"""The configuration of the story: the location forwards the socket and lacks all that it needs."""


class BuildError(Exception):
    """What is wrong, and what helps."""


def build(target: Path) -> None:
    """Write the page.

    Raises:
        BuildError: Pyodide cannot be had.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several may build at once
        fresh.write_text(page(runtime()), encoding="utf-8")
    fresh.replace(target)


def page(folder: Path) -> str:
    """The page's text.

    Args:
        folder: Where Pyodide's files lie.
    """
    parts = parts_of(folder)
    inner_js = (
        read("packing.js")
        + read("view.js")
        + filled(read("flow.js"), limits=json.dumps(limits()), sample=json.dumps(SAMPLE))
    )
    outer_js, outer_css, inner_css = read("outer.js"), read("outer.css"), read("inner.css")
    versions = "".join(f'<option value="{".".join(map(str, v))}">' for v in BOUNDARIES)
    texts = {"inner.css": inner_css, "inner.js": inner_js, "versions": versions}
    inner = filled(read("inner.html"), **texts, version=own_version(), pyodide=PYODIDE)
    policy = POLICY.format(
        scripts=" ".join(map(hash_of, (outer_js, inner_js))), styles=" ".join(map(hash_of, (outer_css, inner_css)))
    )
    return filled(
        read("outer.html"),
        **{"outer.css": outer_css, "outer.js": outer_js},
        policy=policy,
        inner=html.escape(inner),
        script=packed(worker(parts).encode()),
        wasm=packed(parts["pyodide.asm.wasm"]),
        library=packed(parts["python_stdlib.zip"]),
        own=packed(parts["own.zip"]),
    )


def read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def filled(template: str, **texts: str) -> str:
    """The template with its ``@name@`` replaced; one that is not there is a mistake."""

    def text(found: re.Match[str]) -> str:
        used.add(found[1])
        return texts[found[1]]

    used: set[str] = set()
    done = re.sub(f"@({'|'.join(map(re.escape, texts))})@", text, template)
    if used != set(texts):
        raise BuildError(f"the template has no {', '.join(sorted(set(texts) - used))}")
    return done


def limits() -> dict[str, int | str]:
    newest = ".".join(map(str, BOUNDARIES[-1]))
    return {"files": MAX_FILES, "total": MAX_TOTAL, "large": LARGE, "newest": newest}


def hash_of(text: str) -> str:
    """A script's or a style's source expression in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def own_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def worker(parts: dict[str, bytes]) -> str:
    """The worker's script: Pyodide's two modules as plain scripts, and ours.

    Raises:
        BuildError: They do not look as expected: another version needs another look.
    """
    loader, runtime = (parts[name].decode("utf-8") for name in ("pyodide.mjs", "pyodide.asm.mjs"))
    changes = (
        ("export default _createPyodideModule;", "self.createPyodideModule = _createPyodideModule;"),
        ("import.meta.url", "self.location.href"),
    )
    for old, new in changes:
        if old not in runtime:
            raise BuildError(f"pyodide.asm.mjs has no {old}")
        runtime = runtime.replace(old, new)
    loader, found = re.subn(r"export\{(\w+) as loadPyodide,\w+ as version\};", r"self.loadPyodide = \1;", loader)
    if found != 1:
        raise BuildError("pyodide.mjs does not export loadPyodide")
    loader = re.sub(r"^//# sourceMappingURL=.*$", "", loader, flags=re.MULTILINE)
    lock = {"info": json.loads(parts["pyodide-lock.json"])["info"], "packages": {}}
    own = filled(read("engine.js"), lock=json.dumps(lock), place=PLACE)
    return f"(() => {{{runtime}\n}})();\n(() => {{{loader}\n}})();\n{read('packing.js')}{own}"


def own_archive() -> bytes:
    """The pure rooms as a zip archive, stored, for the whole is compressed."""
    source = ROOT / "src"
    return zipped({str(path.relative_to(source)): path.read_bytes() for path in own_files()})


def zipped(contents: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), contents[name])
    return out.getvalue()


def own_files() -> Iterator[Path]:
    """The modules and tables of the core."""
    package = ROOT / "src" / "ws101"
    for path in package.rglob("*"):
        if path.suffix in {".py", ".json"} and path.relative_to(package).parts[0] not in WORLDLY:
            yield path


def runtime() -> Path:
    """The folder with Pyodide's files, taken from the cache or from npm.

    Raises:
        BuildError: npm is missing, or what it fetched has another checksum.
    """
    archive = CACHE / f"pyodide-{PYODIDE}.tgz"
    if not archive.exists():
        fetch(archive)
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != PYODIDE_SHA512:
        raise BuildError(f"{archive} has the checksum sha512-{found}, not the pinned one; remove it and try again")
    folder = CACHE / PYODIDE
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as package:
        for name in FILES:
            data = extracted(package, name)
            if not (folder / name).exists() or (folder / name).read_bytes() != data:
                (folder / name).write_bytes(data)
    return folder


FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
"""What of Pyodide the page needs."""


def parts_of(folder: Path) -> dict[str, bytes]:
    """What goes into the page by name: Pyodide's files, its library without what the page never imports, and ours.

    Both archives hold compiled modules; those are remembered in the cache, and older ones are forgotten.
    """
    parts = {name: (folder / name).read_bytes() for name in FILES}
    given = folder / "python_stdlib.zip"
    first = compiled(folder, given, library(parts[given.name]), LIBRARY)
    second = compiled(folder, first, own_archive(), PLACE)
    for old in set(CACHE.glob("compiled-*.zip")) - {first, second}:
        old.unlink()
    return parts | {given.name: first.read_bytes(), "own.zip": second.read_bytes()}


def library(archive: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as given:
        names = (name for name in given.namelist() if name.partition("/")[0].removesuffix(".py") not in DROPPED)
        return zipped({name: given.read(name) for name in names if not name.endswith("/")})


def compiled(folder: Path, with_library: Path, archive: bytes, where: str) -> Path:
    """The archive with its modules compiled by Pyodide's own Python, in the cache by what goes in.

    Raises:
        BuildError: node is missing or fails.
    """
    script = HERE / "compile.mjs"
    key = hashlib.sha256(b"\0".join((PYODIDE.encode(), where.encode(), script.read_bytes(), archive))).hexdigest()
    kept = CACHE / f"compiled-{key[:32]}.zip"
    if not kept.exists():
        node = shutil.which("node") or shutil.which("nodejs")
        if node is None:
            raise BuildError("node is needed to compile Python's modules: apt-get install nodejs")
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            given, made = Path(scratch, "in.zip"), Path(scratch, "out.zip")
            given.write_bytes(archive)
            command = [node, *map(str, (script, folder, with_library, given, made)), where]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BuildError(f"the modules could not be compiled: {done.stderr.strip()}")
            made.replace(kept)
    return kept


def extracted(package: tarfile.TarFile, name: str) -> bytes:
    found = package.extractfile(f"package/{name}")
    if found is None:
        raise BuildError(f"pyodide {PYODIDE} holds no {name}")
    return found.read()


def fetch(archive: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise BuildError(f"npm is needed to fetch pyodide {PYODIDE}: apt-get install npm")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [npm, "pack", f"pyodide@{PYODIDE}", "--silent", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        made = list(Path(folder).glob("*.tgz"))
        if done.returncode or not made:
            raise BuildError(f"npm could not fetch pyodide {PYODIDE}: {done.stderr.strip() or done.stdout.strip()}")
        made[0].replace(archive)
