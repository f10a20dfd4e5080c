"""A session of a real client with the language server, over standard input and output."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from tests.cli.support import environment, ws101

SITE = """\
server {
    listen 8080;
    server_name example.com;
    # größe 🎈
    location /ws {
        proxy_pass http://127.0.0.1:3000;
        proxy_read_timeout 1h;
    }
}
"""
FIELDS = (
    "        proxy_http_version 1.1;\n        proxy_set_header Upgrade $http_upgrade;\n"
    "        proxy_set_header Connection $connection_upgrade;\n"
)
EDITS = lsp.WorkspaceEditClientCapabilities(
    document_changes=True, resource_operations=[lsp.ResourceOperationKind.Create]
)
QUICK_FIX = [lsp.CodeActionKind.QuickFix]


class Client(LanguageClient):
    """An editor that remembers what it was told to mark."""

    def __init__(self) -> None:
        super().__init__("editor", "1")
        self.published: list[lsp.PublishDiagnosticsParams] = []
        self.messages: list[str] = []
        self.news = asyncio.Event()

        @self.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def published(params: lsp.PublishDiagnosticsParams) -> None:
            self.published.append(params)
            self.news.set()

        @self.feature(lsp.WINDOW_SHOW_MESSAGE)
        def shown(params: lsp.ShowMessageParams) -> None:
            self.messages.append(params.message)

    async def marks(self, path: Path, version: int) -> list[lsp.Diagnostic]:
        """The marks of a version of a file, as soon as they come."""
        async with asyncio.timeout(20):
            while True:
                found = [p for p in self.published if p.uri == path.as_uri() and p.version == version]
                if found:
                    return list(found[-1].diagnostics)
                self.news.clear()
                await self.news.wait()

    def open(self, path: Path) -> None:
        item = lsp.TextDocumentItem(uri=path.as_uri(), language_id="nginx", version=1, text=path.read_text())
        self.text_document_did_open(lsp.DidOpenTextDocumentParams(item))

    def type(self, path: Path, version: int, place: lsp.Range, text: str) -> None:
        """Change a part of a file."""
        change = lsp.TextDocumentContentChangePartial(range=place, text=text)
        which = lsp.VersionedTextDocumentIdentifier(uri=path.as_uri(), version=version)
        self.text_document_did_change(lsp.DidChangeTextDocumentParams(which, [change]))


@asynccontextmanager
async def session(folder: Path, edits: lsp.WorkspaceEditClientCapabilities | None = EDITS) -> AsyncIterator[Client]:
    client = Client()
    command = (sys.executable, "-m", "ws101", "lsp", "--nginx-version", "1.22.1")
    await client.start_io(*command, env=environment())
    able = lsp.ClientCapabilities(workspace=lsp.WorkspaceClientCapabilities(workspace_edit=edits))
    await client.initialize_async(lsp.InitializeParams(capabilities=able, root_uri=folder.as_uri()))
    client.initialized(lsp.InitializedParams())
    try:
        yield client
    finally:
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "nginx.conf").write_text("events {}\nhttp {\n    include sites-enabled/*;\n}\n")
    for name in ("sites-available", "sites-enabled"):
        (tmp_path / name).mkdir()
    path = tmp_path / "sites-available" / "example.conf"
    path.write_text(SITE)
    (tmp_path / "sites-enabled" / "example.conf").symlink_to(path)
    (tmp_path / "ws101.toml").write_text('urls = ["ws://example.com:8080/ws"]\nselect = ["WS101"]\n')
    return path


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def at(line: int, character: int) -> lsp.Range:
    return lsp.Range(lsp.Position(line, character), lsp.Position(line, character))


def applied(text: str, edits: list[lsp.TextEdit]) -> str:
    """The text after edits, made by lines and characters as an editor makes them (no astral characters before)."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for edit in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        start = starts[edit.range.start.line] + edit.range.start.character
        end = starts[edit.range.end.line] + edit.range.end.character
        text = text[:start] + edit.new_text + text[end:]
    return text


def test_findings_are_marked_when_a_file_is_opened_and_go_when_they_are_mended(site: Path) -> None:
    async def story() -> None:
        async with session(site.parent) as client:
            client.open(site)
            (mark,) = await client.marks(site, 1)
            assert (mark.code, mark.source) == ("WS101 upgrade-not-forwarded", "ws101")
            assert mark.severity == lsp.DiagnosticSeverity.Error
            assert mark.range == lsp.Range(lsp.Position(4, 4), lsp.Position(4, 16))
            client.type(site, 2, at(6, 0), FIELDS.replace("$connection_upgrade", "upgrade"))
            assert await client.marks(site, 2) == []

    run(story)


def test_what_is_typed_quickly_is_checked_once(site: Path) -> None:
    async def story() -> None:
        async with session(site.parent) as client:
            client.open(site)
            await client.marks(site, 1)
            for number, char in enumerate("# ws101", 2):
                client.type(site, number, at(0, number - 2), char)
            began = time.monotonic()
            await client.marks(site, 8)
            assert time.monotonic() - began > 0.2
            assert [params.version for params in client.published] == [1, 8]

    run(story)


def test_what_nginx_refuses_is_marked_too_while_it_is_there(site: Path) -> None:
    async def story() -> None:
        async with session(site.parent) as client:
            client.open(site)
            await client.marks(site, 1)
            client.type(site, 2, at(0, 6), " }")
            refused = [mark for mark in await client.marks(site, 2) if mark.source == "nginx"]
            assert refused
            assert refused[0].severity == lsp.DiagnosticSeverity.Error

    run(story)


def test_hovering_tells_what_nginx_does_here(site: Path) -> None:
    async def story() -> None:
        async with session(site.parent) as client:
            client.open(site)
            await client.marks(site, 1)
            which = lsp.TextDocumentIdentifier(site.as_uri())
            found = await client.text_document_hover_async(lsp.HoverParams(which, lsp.Position(5, 10)))
            assert found is not None
            assert isinstance(found.contents, lsp.MarkupContent)
            assert "No tunnel" in found.contents.value
            nothing = await client.text_document_hover_async(lsp.HoverParams(which, lsp.Position(0, 2)))
            assert nothing is None

    run(story)


async def actions(client: Client, path: Path, line: int) -> list[lsp.CodeAction]:
    params = lsp.CodeActionParams(
        lsp.TextDocumentIdentifier(path.as_uri()), at(line, 6), lsp.CodeActionContext([], only=QUICK_FIX)
    )
    found = await client.text_document_code_action_async(params)
    return [action for action in found or () if isinstance(action, lsp.CodeAction)]


def test_a_fix_is_offered_that_mends_the_file_and_makes_the_map(site: Path) -> None:
    async def story() -> None:
        async with session(site.parent) as client:
            client.open(site)
            await client.marks(site, 1)
            (action,) = await actions(client, site, 4)
            assert action.title == "forward Upgrade and Connection in location /ws"
            assert (action.kind, action.is_preferred) == (lsp.CodeActionKind.QuickFix, True)
            assert action.edit is not None
            assert action.edit.document_changes is not None
            texts: dict[str, str] = {site.as_uri(): SITE}
            for change in action.edit.document_changes:
                if isinstance(change, lsp.CreateFile):
                    texts[change.uri] = ""
                elif isinstance(change, lsp.TextDocumentEdit):
                    edits = [edit for edit in change.edits if isinstance(edit, lsp.TextEdit)]
                    uri = change.text_document.uri
                    texts[uri] = applied(texts[uri], edits)
            made = [text for uri, text in texts.items() if uri != site.as_uri()]
            assert FIELDS in texts[site.as_uri()]
            assert "map $http_upgrade $connection_upgrade" in "".join([*made, texts[site.as_uri()]])
            assert await actions(client, site, 0) == []

    run(story)


def test_an_editor_that_cannot_make_files_is_not_asked_to(site: Path) -> None:
    async def story() -> None:
        async with session(site.parent, None) as client:
            client.open(site)
            await client.marks(site, 1)
            for action in await actions(client, site, 4):
                assert action.edit is not None
                assert action.edit.document_changes is None
                assert set(action.edit.changes or {}) == {site.as_uri()}

    run(story)


def test_settings_that_make_no_sense_are_said_once_and_nothing_is_marked(site: Path) -> None:
    (site.parents[1] / "ws101.toml").write_text("nonsense = 1\n")

    async def story() -> None:
        async with session(site.parent) as client:
            client.open(site)
            assert await client.marks(site, 1) == []
            client.type(site, 2, at(0, 0), "\n")
            assert await client.marks(site, 2) == []
            assert len(client.messages) == 1
            assert client.messages[0].startswith("unknown key nonsense")

    run(story)


def test_closing_a_file_takes_its_marks_away(site: Path) -> None:
    async def story() -> None:
        async with session(site.parent) as client:
            client.open(site)
            assert await client.marks(site, 1)
            which = lsp.TextDocumentIdentifier(site.as_uri())
            client.text_document_did_close(lsp.DidCloseTextDocumentParams(which))
            async with asyncio.timeout(10):
                while client.published[-1].diagnostics:
                    await asyncio.sleep(0.02)

    run(story)


def test_a_text_that_was_never_saved_is_checked_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with session(tmp_path) as client:
            text = SITE.replace("proxy_read_timeout 1h;", "proxy_set_header Upgrade $http_upgrade;")
            item = lsp.TextDocumentItem(uri="untitled:Untitled-1", language_id="nginx", version=1, text=text)
            client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
            async with asyncio.timeout(20):
                while not client.published:
                    await asyncio.sleep(0.02)
            assert "WS103 missing-connection-header" in {mark.code for mark in client.published[0].diagnostics}

    run(story)


def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "pygls").mkdir()
    (tmp_path / "pygls" / "__init__.py").write_text("raise ModuleNotFoundError('no pygls', name='pygls')\n")
    path = f"{tmp_path}:{Path(__file__).resolve().parents[2] / 'src'}"
    done = ws101("lsp", PYTHONPATH=path)
    assert (done.code, done.out) == (2, "")
    assert "the package pygls is not installed" in done.err
    assert "pip install 'ws101[editor]'" in done.err
