"""The architecture's invariants, read from the source with ``ast``: what may import what, and what must be absent.

Each invariant is a function from the modules to offences.  The last tests feed each one a wrong snippet, so that an
invariant which has gone blind is noticed.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import zip_longest
from pathlib import Path

import pytest

import ws101

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "ws101"

ROOMS = (
    *(
        "lazy",
        "errors",
        "text",
        "lexer",
        "syntax",
        "edit",
        "http1",
        "logs",
        "nginx",
        "findings",
        "rules",
        "check",
        "fix",
    ),
    *("settings", "newsite", "changes", "probes"),
    *("diagnose", "manifest", "report", "page", "host", "lab", "cli", "__main__"),
)
"""A room may import itself and those before it.  The package's own ``__init__`` imports nothing."""

FLOORS = (
    *("build", "directives", "regex", "config", "inherit", "maps", "variables", "requests", "servers", "locations"),
    *("rewrite", "forward", "trace"),
)
"""The same inside ``nginx``, for the modules named here."""

WORLDLY = frozenset({"host", "lab", "cli", "__main__"})
"""The only rooms that touch files, processes, sockets and clocks."""

IMPURE = frozenset(
    {
        *("asyncio", "concurrent", "ctypes", "datetime", "fcntl", "glob", "http", "importlib", "locale", "logging"),
        *("mmap", "multiprocessing", "os", "pathlib", "platform", "pty", "queue", "random", "resource", "sched"),
        *(
            "secrets",
            "select",
            "selectors",
            "shutil",
            "signal",
            "socket",
            "socketserver",
            "sqlite3",
            "ssl",
            "subprocess",
        ),
        *("tempfile", "threading", "time", "urllib.request", "uuid", "webbrowser"),
    }
)
"""What the core never imports."""

IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint"})

TABLES = "nginx.directives"
"""The one module that reads the package's own tables, through its loader (``get_data``): the one exception."""

WRITER = "lazy"
"""The one module that runs source it has written: methods of records, made of the names of their fields."""

LATE = {("nginx.regex", "pcre2")}
"""Modules, and the optional library that each loads when it is needed: the start of the program would take longer."""

THIRD_PARTY = {"nginx.regex": {"pcre2"}, "probes": {"websockets"}}
"""The core needs the standard library alone, but for nginx's own regex library where it is installed, and frames."""

STRANGERS = (("probes", "rules"), ("rules", "probes"))
"""Pairs of rooms of which the first must not know the second, whatever the order allows."""

MAX_FILE, MAX_FUNCTION = 600, 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A module of the package: ``name`` without the package's own, for example ``nginx.config``; empty for its root."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @cached_property
    def imports(self) -> tuple[tuple[str, int], ...]:
        """Every absolute name that is imported anywhere in it, and the line."""
        return tuple(_imports(self.tree))

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        return tuple(node for node in ast.walk(self.tree) if isinstance(node, Function))


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{'.' * node.level}{node.module or ''}.{alias.name}", node.lineno) for alias in node.names)


Modules = dict[str, Module]


@functools.cache
def read_package() -> Modules:
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")
        modules[name] = Module(name, path.read_text(encoding="utf-8"))
    return modules


def own_imports(module: Module, modules: Modules) -> Iterator[tuple[str, int]]:
    """The package's own modules that a module imports, each by its longest name that is a module."""
    for name, line in module.imports:
        if name == "ws101" or name.startswith("ws101."):
            target = name.removeprefix("ws101").removeprefix(".")
            while target and target not in modules:
                target = target.rpartition(".")[0]
            if target:
                yield target, line


def wrong_direction(modules: Modules) -> Iterator[str]:
    """A room imports only itself and rooms before it; in nginx the same holds for the floors."""
    for module in modules.values():
        if module.name == "":
            continue
        if module.room not in ROOMS:
            yield f"{module.name}: is in no room of ROOMS"
            continue
        for target, line in own_imports(module, modules):
            if _is_wrong(module.name, target):
                yield f"{module.name}:{line}: must not import {target}"


def _is_wrong(importer: str, target: str) -> bool:
    room, other = importer.partition(".")[0], target.partition(".")[0]
    if (room, other) in STRANGERS or other not in ROOMS:
        return True
    if room == other == "nginx":
        floors = [name.split(".")[1] for name in (importer, target) if name.count(".")]
        return len(floors) == 2 and set(floors) <= set(FLOORS) and FLOORS.index(floors[0]) < FLOORS.index(floors[1])
    return ROOMS.index(room) < ROOMS.index(other)


def import_cycles(modules: Modules) -> Iterator[str]:
    """No module reaches itself through imports; a package's ``__init__`` counts as a module of its own."""
    graph = {
        name: {t for t, _ in own_imports(module, modules) if t != name} for name, module in modules.items() if name
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"import cycle: {' -> '.join(error.args[1])}"


def impurity(modules: Modules) -> Iterator[str]:
    """Outside the worldly rooms there are no sockets, processes, files, clocks, threads, and no third parties."""
    for module in modules.values():
        if module.room in WORLDLY or module.name == "":
            continue
        parties = THIRD_PARTY.get(module.name, set()) | THIRD_PARTY.get(module.room, set())
        for name, line in module.imports:
            top = name.partition(".")[0]
            if top in IMPURE or "urllib.request" in name:
                yield f"{module.name}:{line}: the core must not import {name}"
            elif top not in sys.stdlib_module_names and top not in {"ws101", *parties}:
                yield f"{module.name}:{line}: the core must not need {name}"
        for called, line in _calls(module.tree):
            if called in {"exec", "compile"} and module.name == WRITER:
                continue
            if called in IMPURE_CALLS or (called == "get_data" and module.name != TABLES):
                yield f"{module.name}:{line}: the core must not call {called}()"


def _calls(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What is called by its bare name, and whatever object's ``get_data``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node.lineno
        elif isinstance(node, ast.Attribute) and node.attr == "get_data":
            yield node.attr, node.lineno


def hidden_imports(modules: Modules) -> Iterator[str]:
    """Imports stand at the top and are absolute; only commands import what they need when they run."""
    for module in modules.values():
        for name, line in module.imports:
            if name.startswith("."):
                yield f"{module.name}:{line}: relative import of {name}"
        if module.room == "cli":
            continue
        for function in module.functions:
            yield from (
                f"{module.name}:{line}: import of {name} inside {function.name}()"
                for name, line in _imports(function)
                if (module.name, name) not in LATE
            )


def slow_to_start(modules: Modules) -> Iterator[str]:
    """Records with slots are those of ``lazy``: the standard decorator takes a millisecond a class at each start."""
    for module in modules.values():
        for name, line in module.imports:
            if name == "dataclasses.dataclass" and "slots=True" in module.text:
                yield f"{module.name}:{line}: dataclass comes from ws101.lazy"


def undocumented(modules: Modules) -> Iterator[str]:
    """Every module has a docstring and, if it defines public names, an ``__all__`` whose names are documented in it."""
    for module in modules.values():
        if module.tree.body and not ast.get_docstring(module.tree):
            yield f"{module.name}: no docstring"
        documented, defined = _definitions(module.tree)
        public = _all_of(module.tree)
        if public is None:
            if module.room not in {"cli", "__main__"} and any(not name.startswith("_") for name in defined):
                yield f"{module.name}: no __all__"
            continue
        here = public if module.name else []
        yield from (
            f"{module.name}: {name} is in __all__ and not documented here" for name in here if name not in documented
        )


def _definitions(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names with a docstring at module level (or at home, if passed on), and all functions and classes there."""
    documented, defined = set(), set()
    for node, following in zip_longest(tree.body, tree.body[1:]):
        if isinstance(node, ast.ClassDef | Function):
            defined.add(node.name)
            if ast.get_docstring(node):
                documented.add(node.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ws101"):
            documented |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign) and _is_text(following):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            documented |= {target.id for target in targets if isinstance(target, ast.Name)}
    return documented, defined


def _is_text(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _all_of(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def too_long(modules: Modules) -> Iterator[str]:
    """Files of at most 600 lines, functions of at most 60, docstrings not counted."""
    for module in modules.values():
        if (lines := module.text.count("\n")) > MAX_FILE:
            yield f"{module.name}: {lines} lines"
        for function in module.functions:
            text = ast.get_docstring(function, clean=False)
            length = (function.end_lineno or 0) - function.lineno + 1 - (text.count("\n") + 1 if text else 0)
            if length > MAX_FUNCTION:
                yield f"{module.name}:{function.lineno}: {function.name}() has {length} lines"


INVARIANTS: tuple[Callable[[Modules], Iterator[str]], ...] = (
    *(wrong_direction, import_cycles, impurity, hidden_imports, slow_to_start, undocumented, too_long),
)


@pytest.mark.parametrize("invariant", INVARIANTS, ids=[invariant.__name__ for invariant in INVARIANTS])
def test_the_package_keeps(invariant: Callable[[Modules], Iterator[str]]) -> None:
    offences = list(invariant(read_package()))
    assert not offences, "\n".join(offences)


REGISTRY_HOST = re.compile(
    r"pypi\.o[r]g|pythonhosted\.o[r]g|npmjs\.(?:o[r]g|c[o]m)|yarnpkg\.c[o]m|deb\.debian\.o[r]g|archive\.ubuntu\.c[o]m"
)
MADE = {".git", ".venv", ".cache", "build", "dist", "site", "node_modules", "__pycache__"}
MADE |= {".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}


def files_naming_a_registry(root: Path) -> list[str]:
    """The text files below a folder that name a registry's host; what is made and not written is passed over."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in MADE]
        paths = [Path(folder, name) for name in names]
        named = [path for path in paths if REGISTRY_HOST.search(path.read_bytes().decode("latin-1"))]
        found += [str(path.relative_to(root)) for path in named]
    return found


def test_no_text_of_the_project_names_a_registrys_host() -> None:
    assert files_naming_a_registry(ROOT) == []


def test_every_public_name_resolves_and_nothing_is_imported_before_it_is_asked_for() -> None:
    for name in ws101.__all__:
        assert getattr(ws101, name).__doc__, name
    assert list(ws101.__all__) == sorted(ws101.__all__)
    assert set(ws101.__all__) <= set(dir(ws101))
    script = "import sys, ws101; print([name for name in sys.modules if name.startswith('ws101.')])"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {script}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ws101.nonsense


DOC = '"""A module."""\n'
LONG = "def f():\n" + "    x = 1\n" * 60

SABOTAGE = [
    (wrong_direction, {"text": "import ws101.lab.nginx", "lab.nginx": ""}, "text:1: must not import lab.nginx"),
    (wrong_direction, {"probes": "from ws101 import rules", "rules": ""}, "probes:1: must not import rules"),
    (wrong_direction, {"rules.a": "from ws101.fix import f", "fix": ""}, "rules.a:1: must not import fix"),
    (wrong_direction, {"nginx.build": "from ws101.nginx.trace import t", "nginx.trace": ""}, "nginx.build:1: must not"),
    (wrong_direction, {"attic": ""}, "attic: is in no room"),
    (import_cycles, {"nginx.a": "import ws101.nginx.b", "nginx.b": "import ws101.nginx.a"}, "import cycle: nginx."),
    (impurity, {"text": "import socket"}, "text:1: the core must not import socket"),
    (impurity, {"nginx.config": "from pathlib import Path"}, "nginx.config:1: the core must not import pathlib.Path"),
    (impurity, {"nginx.config": "from os import path"}, "must not import os.path"),
    (impurity, {"nginx.config": "from urllib import request"}, "must not import urllib.request"),
    (impurity, {"nginx.maps": "x = __loader__.get_data('x')"}, "nginx.maps:1: the core must not call get_data()"),
    (impurity, {"report.json": "from importlib.resources import files"}, "must not import importlib.resources.files"),
    (impurity, {"report.terminal": "import rich"}, "report.terminal:1: the core must not need rich"),
    (impurity, {"rules.a": "def f():\n    return open('x')"}, "rules.a:2: the core must not call open()"),
    (hidden_imports, {"fix": "def f():\n    import re"}, "fix:2: import of re inside f()"),
    (hidden_imports, {"fix": "from . import text"}, "fix:1: relative import"),
    (
        slow_to_start,
        {"fix": "from dataclasses import dataclass\n@dataclass(slots=True)\nclass A: pass"},
        "fix:1: dataclass",
    ),
    (undocumented, {"fix": "x = 1"}, "fix: no docstring"),
    (undocumented, {"fix": f"{DOC}__all__ = ['A']\nclass A: pass"}, "fix: A is in __all__ and not documented"),
    (undocumented, {"fix": f"{DOC}__all__ = ['A']\nA = 1"}, "fix: A is in __all__ and not documented"),
    (undocumented, {"fix": f"{DOC}def f(): pass"}, "fix: no __all__"),
    (too_long, {"fix": "\n" * 601}, "fix: 601 lines"),
    (too_long, {"fix": LONG}, "fix:1: f() has 61 lines"),
]


@pytest.mark.parametrize(("invariant", "texts", "expected"), SABOTAGE)
def test_each_invariant_notices(
    invariant: Callable[[Modules], Iterator[str]], texts: dict[str, str], expected: str
) -> None:
    offences = list(invariant({name: Module(name, text) for name, text in texts.items()}))
    assert any(expected in offence for offence in offences), offences


HARMLESS = {
    "lazy": f"{DOC}exec('x')\n__all__ = []",
    "errors": f"{DOC}__all__ = ['E']\nclass E(Exception):\n    '''An error.'''",
    "nginx.directives": f"{DOC}__loader__.get_data('x')\nfrom ws101.errors import E\n__all__ = []",
    "nginx.trace": f"{DOC}from ws101.nginx.directives import x\nfrom ws101 import __version__\n__all__ = []",
    "probes.core": f"{DOC}import websockets.frames\nimport re\n__all__ = ['A']\nA = 1\n'''One.'''",
    "lab": f"{DOC}import socket, rich\nopen('x')",
    "cli": f"{DOC}def f():\n    import rich",
    "fix": LONG.replace("    x = 1\n" * 60, f"    '''{chr(10) * 50}'''\n" + "    x = 1\n" * 50) + "__all__ = []\n",
}


def test_what_is_allowed_is_no_offence() -> None:
    modules = {name: Module(name, text if text.startswith('"') else DOC + text) for name, text in HARMLESS.items()}
    assert [offence for invariant in INVARIANTS for offence in invariant(modules)] == []


def test_a_registrys_host_is_noticed_in_any_file_but_those_that_are_made(tmp_path: Path) -> None:
    host = ".".join(("https://pypi", "org"))
    for name in ("docs/a.md", "lock.txt", ".venv/x", "fine.txt"):
        tmp_path.joinpath(name).parent.mkdir(exist_ok=True)
        tmp_path.joinpath(name).write_text("nothing" if name == "fine.txt" else f"see {host}/simple")
    assert sorted(files_naming_a_registry(tmp_path)) == ["docs/a.md", "lock.txt"]
