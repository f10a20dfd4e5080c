"""nginx's first complaint beside ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tools.mutants.mutate import CORPUS, Mutant, load
from ws101.host.binary import NginxBinary
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.nginx.validate import validate

_ROOT = "/conf"

OUTSIDE = {
    "a name that does not resolve": r"host not found in |no host in |could not be resolved",
    "a file that is not there": r"(?:open|stat|mkdir|read|unlink|opendir|glob)\(\) |.*is not a directory",
    "an address that cannot be bound": r"bind\(\) to |socket\(\) |listen\(\) |setsockopt",
    "sizes of hash tables": r"could not build |.*hash_bucket_size",
    "certificates and keys": r".*[sS][sS][lL]_|no \"ssl_certificate|cannot load certificate|.*SSL",
    "the number of listening sockets": r"\d+ worker_connections are not enough",
    "users of the machine": r"getpwnam|getgrnam",
    "shared memory": r"zero size shared memory|.*shared memory zone|the shared memory|the size \d+ of shared memory"
    r"|limit_(?:req|conn).*is already bound",
    "a module that is not there": r"dlopen\(\)|module \"",
}
"""What nginx refuses for reasons that lie outside the configuration's text, by name."""


class Said(NamedTuple):
    """A complaint; both None if there is none."""

    message: str | None
    place: str | None


@dataclass
class Result:
    """How the comparison went for one build."""

    total: int = 0
    agreed: int = 0
    outside: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[Mutant, Said, Said]] = field(default_factory=list)

    @property
    def agreement(self) -> float:
        """The share of mutants within the scope that both judge alike."""
        judged = self.total - sum(self.outside.values())
        return self.agreed / judged if judged else 1.0


def outside(message: str | None) -> str | None:
    """The name of the reason outside the text; None if it lies in the text."""
    if message is None:
        return None
    return next((name for name, words in OUTSIDE.items() if re.match(words, message)), None)


class Oracle:
    """The real ``nginx -t`` on the corpus with one file changed; one folder a thread."""

    def __init__(self, binary: NginxBinary, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.files = load()
        self.local = threading.local()
        self.count = 0
        self.lock = threading.Lock()

    def _home(self) -> Path:
        home: Path | None = getattr(self.local, "home", None)
        if home is None:
            with self.lock:
                self.count += 1
                home = self.folder / f"{self.binary.build.number}-{self.count}"
            shutil.copytree(CORPUS, home)
            self.local.home = home
        return home

    def ask(self, mutant: Mutant) -> Said:
        """What nginx says first."""
        home = self._home()
        changed = home / mutant.changed
        changed.write_bytes(mutant.text.encode("latin-1"))
        command = [self.binary.path, "-t", "-q", "-p", str(home), "-c", str(home / mutant.main)]
        command += ["-e", "/dev/null", "-g", f"pid {home}/pid;"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=home)
        changed.write_bytes(self.files[mutant.changed].encode("latin-1"))
        return _parse(done.returncode, done.stderr.decode("latin-1"), str(home))


def _parse(code: int, text: str, home: str) -> Said:
    if code == 0:
        return Said(None, None)
    found = re.search(r"\[emerg\] (.*?)(?:\nnginx: \[|\nnginx: configuration file)", text, re.DOTALL)
    if found is None:
        return Said(text.replace(home, _ROOT), None)
    message = found[1].replace(home, _ROOT)
    placed = re.fullmatch(rf"(.*) in ({_ROOT}/[^:]*:\d+)", message, re.DOTALL)
    return Said(placed[1], placed[2]) if placed else Said(message, None)


def ours(mutant: Mutant, files: dict[str, str], build: Build) -> Said:
    """What ``validate`` says first and surely."""
    texts = {f"{_ROOT}/{name}": text.encode("latin-1") for name, text in files.items()}
    texts[f"{_ROOT}/{mutant.changed}"] = mutant.text.encode("latin-1")
    config = Config(MemoryFiles(texts), f"{_ROOT}/{mutant.main}", context="main", complete=True)
    first = next((refusal for refusal in validate(config, (build,)) if refusal.certain), None)
    if first is None:
        return Said(None, None)
    return Said(first.message, None if first.line is None else f"{first.file}:{first.line}")


def alike(nginx: Said, own: Said) -> bool:
    """Whether both say the same; the words of the regex library differ between its versions."""
    return _plain(nginx) == _plain(own)


def _plain(said: Said) -> Said:
    if said.message is not None and re.match(r"pcre2?_compile\(\)", said.message):
        return Said("regex", said.place)
    return said


def compare(binary: NginxBinary, mutants: Sequence[Mutant], workers: int = 2) -> Result:
    """Judge every mutant twice."""
    result = Result()
    build, files = binary.build, load()
    with tempfile.TemporaryDirectory(prefix="ws101-mutants-") as folder:
        oracle = Oracle(binary, Path(folder))
        with ThreadPoolExecutor(workers) as pool:
            for mutant, nginx in zip(mutants, _in_batches(pool, oracle, mutants), strict=True):
                own = ours(mutant, files, build)
                result.total += 1
                reason = outside(nginx.message)
                if reason and not alike(nginx, own):
                    result.outside[reason] += 1
                elif alike(nginx, own):
                    result.agreed += 1
                else:
                    result.differences.append((mutant, nginx, own))
    return result


def _in_batches(pool: ThreadPoolExecutor, oracle: Oracle, mutants: Sequence[Mutant]) -> Iterator[Said]:
    for at in range(0, len(mutants), 200):
        yield from pool.map(oracle.ask, mutants[at : at + 200])
