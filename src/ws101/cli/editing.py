"""The language server: requests of an editor in, marks, hovers and fixes out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import field, replace

from lsprotocol import types as lsp
from pygls import uris
from pygls.lsp.server import LanguageServer

from ws101 import __version__
from ws101.check import CheckReport, Entry, check
from ws101.cli.configured import find_settings, with_settings
from ws101.cli.inputs import Inputs
from ws101.errors import Ws101Error
from ws101.findings import Fix, Safety
from ws101.fix import proven
from ws101.host.editor import Buffers, config_around, real_name
from ws101.host.files import name_of, os_path
from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.report.editor import Lines, Mark, Place, Range, fix_title, hover, marks
from ws101.rules import Options
from ws101.text import Edit, Source, Span

__all__ = ["DELAY", "serve"]

DELAY = 0.25
"""Seconds without a keystroke before a text is checked."""

_SEVERITIES = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
    "note": lsp.DiagnosticSeverity.Information,
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found when a file was looked at.

    Args:
        name: The name under which nginx loads the file.
        report: What the rules found in the whole configuration.
        options: What they were asked.
        builds: The nginx versions.
        lines: The files' texts as the editor counts them, as far as they were asked for.
    """

    name: str
    report: CheckReport
    options: Options
    builds: tuple[Build, ...]
    lines: dict[str, Lines] = field(default_factory=dict)


class _Server:
    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.server = LanguageServer("ws101", __version__)
        self.waiting: dict[str, asyncio.TimerHandle] = {}
        self.looked: dict[str, Looked] = {}
        self.complained: set[str] = set()

    # looking

    def look(self, uri: str) -> Looked:
        """Check the configuration of an open file.

        Raises:
            Ws101Error: Its settings make no sense, or it can't be read.
        """
        path = self.path(uri)
        told = find_settings(None, [os.fsdecode(os_path(path))])
        options, inputs = with_settings(Options(), self.inputs, told)
        open_files = self.server.workspace.text_documents
        buffers = Buffers({real_name(self.path(u)): d.source.encode("utf-8") for u, d in open_files.items()})
        config, name = config_around(path, buffers)
        builds = inputs.builds()
        return Looked(name, check(config, builds, options, table=False), options, builds)

    def path(self, uri: str) -> str:
        """A file's name, as configuration text has it."""
        return name_of(uris.to_fs_path(uri) or "/untitled.conf")

    def soon(self, uri: str) -> None:
        """Look at a file, and at all others that are open, when no key has been pressed for a moment."""
        if uri in self.waiting:
            self.waiting.pop(uri).cancel()
        self.waiting[uri] = asyncio.get_running_loop().call_later(DELAY, self.now, uri)

    def now(self, uri: str) -> None:
        """Look at a file and mark what was found; the other open files may be parts of the same configuration."""
        self.waiting.pop(uri, None)
        for other in (uri, *(u for u in self.server.workspace.text_documents if u != uri and u not in self.waiting)):
            self.mark(other)

    def mark(self, uri: str) -> None:
        """Publish the marks of one file."""
        document = self.server.workspace.text_documents.get(uri)
        if document is None:
            return
        self.looked.pop(uri, None)
        found: list[lsp.Diagnostic] = []
        try:
            looked = self.looked[uri] = self.look(uri)
            found = [self.diagnostic(mark, looked) for mark in marks(looked.report, looked.name)]
        except Ws101Error as error:
            self.complain(error)
        self.server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri=uri, version=document.version, diagnostics=found)
        )

    def complain(self, error: Ws101Error) -> None:
        """Say once what keeps a file from being looked at."""
        text = str(error)
        if text not in self.complained:
            self.complained.add(text)
            self.server.window_show_message(lsp.ShowMessageParams(type=lsp.MessageType.Warning, message=text))

    # saying

    def diagnostic(self, mark: Mark, looked: Looked) -> lsp.Diagnostic:
        """A mark in the protocol's words."""
        related = [
            lsp.DiagnosticRelatedInformation(
                location=lsp.Location(uri=_uri(label.span.path), range=self.range(label.span, looked)),
                message=label.message,
            )
            for label in mark.labels
        ]
        return lsp.Diagnostic(
            range=self.range(mark.span, looked),
            severity=_SEVERITIES[mark.level],
            code=mark.code or None,
            source="ws101" if mark.finding is not None else "nginx",
            message=mark.message,
            related_information=related or None,
        )

    def lines(self, path: str, looked: Looked) -> Lines:
        """A file's text as the editor counts it; an empty one for a file that is yet to be made."""
        if path not in looked.lines:
            source = looked.report.config.sources.get(path) or Source(path, "")
            encoding = self.server.workspace.position_encoding
            looked.lines[path] = Lines(source, lsp.PositionEncodingKind(encoding or "utf-16").value)
        return looked.lines[path]

    def range(self, span: Span, looked: Looked) -> lsp.Range:
        """A span in the protocol's words."""
        return _range(self.lines(span.path, looked).range(span))

    def hover(self, params: lsp.HoverParams) -> lsp.Hover | None:
        """What nginx does at a place."""
        looked = self.fresh(params.text_document.uri)
        if looked is None:
            return None
        at = self.lines(looked.name, looked).offset(Place(params.position.line, params.position.character))
        text = hover(looked.report.config, looked.builds, looked.name, at)
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text)) if text else None

    def fresh(self, uri: str) -> Looked | None:
        """What was found, after what has been typed since."""
        if uri in self.waiting:
            self.waiting.pop(uri).cancel()
            self.now(uri)
        return self.looked.get(uri)

    # fixing

    def actions(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        """The fixes of the findings in a range, their safety proven."""
        looked = self.fresh(params.text_document.uri)
        wanted = params.context.only
        if looked is None or (wanted and not any(lsp.CodeActionKind.QuickFix.value.startswith(k) for k in wanted)):
            return []
        mine = tuple(entry for entry in looked.report.entries if self.touches(entry, looked, params.range))
        judged = proven(replace(looked.report, entries=mine), looked.options) if mine else None
        return [action for entry in (judged.entries if judged else ()) for action in self.offers(entry, looked)]

    def touches(self, entry: Entry, looked: Looked, asked: lsp.Range) -> bool:
        """Whether a finding's mark shares a place with a range."""
        shown = self.mark_of(entry, looked)
        if shown is None:
            return False
        here = self.range(shown.span, looked)
        return _key(here.start) <= _key(asked.end) and _key(asked.start) <= _key(here.end)

    def mark_of(self, entry: Entry, looked: Looked) -> Mark | None:
        """The mark of a finding in the file that was looked at; None if the finding lies in another one."""
        wanted = (entry.finding.rule, entry.finding.span)
        found = (
            m for m in marks(looked.report, looked.name) if m.finding and (m.finding.rule, m.finding.span) == wanted
        )
        return next(found, None)

    def offers(self, entry: Entry, looked: Looked) -> Iterator[lsp.CodeAction]:
        """The fixes of one finding."""
        mark = self.mark_of(entry, looked)
        for fix in (entry.finding.fix, *entry.finding.other_fixes):
            edit = self.workspace_edit(fix, looked) if fix is not None else None
            if fix is not None and edit is not None:
                yield lsp.CodeAction(
                    title=fix_title(fix),
                    kind=lsp.CodeActionKind.QuickFix,
                    diagnostics=[self.diagnostic(mark, looked)] if mark is not None else None,
                    is_preferred=fix.safety is Safety.SAFE,
                    edit=edit,
                )

    def workspace_edit(self, fix: Fix, looked: Looked) -> lsp.WorkspaceEdit | None:
        """The edits of a fix, files that it makes included; None if this editor can't make files."""
        by_path: dict[str, list[Edit]] = {}
        for edit in fix.edits:
            by_path.setdefault(edit.span.path, []).append(edit)
        texts = {_uri(path): [self.text_edit(e, looked) for e in edits] for path, edits in by_path.items()}
        if not self.knows_document_changes():
            there = by_path.keys() <= looked.report.config.sources.keys()
            return lsp.WorkspaceEdit(changes=texts) if there else None
        changes: list[lsp.TextDocumentEdit | lsp.CreateFile] = [
            lsp.CreateFile(uri=_uri(path), options=lsp.CreateFileOptions(ignore_if_exists=True))
            for path in by_path
            if path not in looked.report.config.sources
        ]
        changes += [
            lsp.TextDocumentEdit(lsp.OptionalVersionedTextDocumentIdentifier(uri=uri, version=self.version(uri)), edits)
            for uri, edits in texts.items()
        ]
        return lsp.WorkspaceEdit(document_changes=changes)

    def text_edit(self, edit: Edit, looked: Looked) -> lsp.TextEdit:
        """An edit in the protocol's words."""
        text = edit.text.encode("latin-1").decode("utf-8", "replace")
        return lsp.TextEdit(self.range(edit.span, looked), text)

    def version(self, uri: str) -> int | None:
        """The version of an open file that an edit is for; None if it is not open."""
        document = self.server.workspace.text_documents.get(uri)
        return document.version if document is not None else None

    def knows_document_changes(self) -> bool:
        """Whether the editor takes edits with versions, and makes files."""
        workspace = self.server.client_capabilities.workspace
        edits = workspace.workspace_edit if workspace is not None else None
        made = (edits.resource_operations or ()) if edits is not None else ()
        return edits is not None and bool(edits.document_changes) and lsp.ResourceOperationKind.Create in made


def _range(value: Range) -> lsp.Range:
    start, end = value.start, value.end
    return lsp.Range(lsp.Position(start.line, start.character), lsp.Position(end.line, end.character))


def _key(place: lsp.Position) -> tuple[int, int]:
    return place.line, place.character


def _uri(path: str) -> str:
    """The real file's: an editor must not open it a second time under the name of a link."""
    found = uris.from_fs_path(os.fsdecode(os_path(real_name(path))))
    assert found is not None, "an absolute path has a URI"
    return str(found)


def serve(inputs: Inputs) -> None:
    """Serve one editor on standard input and output until it says goodbye.

    Args:
        inputs: Which nginx to read configurations for.
    """
    own = _Server(inputs)
    server = own.server

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        own.now(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        own.soon(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        own.soon(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        own.looked.pop(uri, None)
        server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri=uri, diagnostics=[]))

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        return own.hover(params)

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])
    )
    async def asked(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return own.actions(params)

    server.start_io()
