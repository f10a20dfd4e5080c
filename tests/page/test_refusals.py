"""Nothing leaves the page: every way out is tried from inside it, beside a server that must receive nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error

from tests.page.browser import Opened, Recorder, opened

NEVER = "new Promise((done) => setTimeout(() => done('silence'), 200))"

WAYS = {
    "fetch": "fetch(B + '/fetch?secret').then(() => 'OUT', (e) => `refused: ${e}`)",
    "fetch, kept alive": "fetch(B + '/x', {method: 'POST', body: 's', mode: 'no-cors', keepalive: true})"
    ".then(() => 'OUT', (e) => `refused: ${e}`)",
    "XMLHttpRequest": "new Promise((done) => { const x = new XMLHttpRequest(); x.onload = () => done('OUT');"
    " x.onerror = () => done('refused'); x.open('POST', B + '/xhr'); x.send('secret'); })",
    "WebSocket": "new Promise((done) => { try { const w = new WebSocket(B.replace('http', 'ws') + '/ws');"
    " w.onopen = () => done('OUT'); w.onerror = () => done('refused'); } catch (e) { done(`refused: ${e}`); } })",
    "EventSource": "new Promise((done) => { const s = new EventSource(B + '/events');"
    " s.onopen = () => done('OUT'); s.onerror = () => done('refused'); })",
    "WebTransport": "new WebTransport(B.replace('http', 'https') + '/t').ready"
    ".then(() => 'OUT', (e) => `refused: ${e}`)",
    "beacon": "(navigator.sendBeacon(B + '/beacon', 'secret'), " + NEVER + ")",
    "image": "new Promise((done) => { const i = new Image(); i.onload = () => done('OUT');"
    " i.onerror = () => done('refused'); i.src = B + '/image?secret'; })",
    "style": "new Promise((done) => { const l = document.createElement('link'); l.rel = 'stylesheet';"
    " l.onload = () => done('OUT'); l.onerror = () => done('refused'); l.href = B + '/style';"
    " document.head.append(l); })",
    "background": "(document.body.style.setProperty('background-image', `url(${B}/background)`), " + NEVER + ")",
    "font": "new FontFace('x', `url(${B}/font)`).load().then(() => 'OUT', (e) => `refused: ${e}`)",
    "video": "new Promise((done) => { const v = document.createElement('video'); v.onerror = () => done('refused');"
    " v.src = B + '/video'; v.load(); })",
    "object": "(() => { const o = document.createElement('object'); try { o.data = B + '/object'; }"
    " catch (e) { return `refused: ${e}`; } document.body.append(o); return " + NEVER + "; })()",
    "embed": "(() => { const o = document.createElement('embed'); try { o.src = B + '/embed'; }"
    " catch (e) { return `refused: ${e}`; } document.body.append(o); return " + NEVER + "; })()",
    "hints": "(() => { for (const rel of ['prefetch', 'preconnect', 'dns-prefetch', 'prerender', 'preload', 'icon',"
    " 'modulepreload', 'manifest']) { const l = document.createElement('link'); l.rel = rel; l.as = 'image';"
    " l.href = `${B}/${rel}`; document.head.append(l); } return " + NEVER + "; })()",
    "frame": "(() => { const f = document.createElement('iframe'); f.src = B + '/frame';"
    " document.body.append(f); return " + NEVER + "; })()",
    "import": "import(B + '/module.js').then(() => 'OUT', (e) => `refused: ${e}`)",
    "worker": "(() => { try { new Worker(B + '/worker.js'); return 'OUT'; } catch (e) { return `refused: ${e}`; } })()",
    "worker's fetch": "new Promise((done) => { const text = \"fetch('\" + B + \"/w').then(() => postMessage('OUT'),"
    " (e) => postMessage('refused: ' + e))\"; const address = URL.createObjectURL(new Blob([text]));"
    " const w = new Worker(policy.createScriptURL(address)); w.onmessage = (m) => done(m.data);"
    " w.onerror = (e) => done('refused: ' + e.message); })",
    "service worker": "(async () => { try { await navigator.serviceWorker.register(B + '/s.js'); return 'OUT'; }"
    " catch (e) { return `refused: ${e}`; } })()",
    "form": "(() => { const f = document.createElement('form'); f.action = B + '/form'; f.method = 'post';"
    " document.body.append(f); f.submit(); return " + NEVER + "; })()",
    "form in a new tab": "(() => { const f = document.createElement('form'); f.action = B + '/form';"
    " f.target = '_blank'; document.body.append(f); f.submit(); return " + NEVER + "; })()",
    "window.open": "(() => { const w = window.open(B + '/open?secret'); return w ? 'OUT' : 'refused'; })()",
    "top.location": "(() => { try { top.location.href = B + '/top?secret'; return " + NEVER + "; }"
    " catch (e) { return `refused: ${e}`; } })()",
    "link in a new tab": "(() => { const a = document.createElement('a'); a.href = B + '/blank'; a.target = '_blank';"
    " document.body.append(a); a.click(); return " + NEVER + "; })()",
    "inline script": "(() => { const s = document.createElement('script'); try { s.textContent = 'window.out = 1'; }"
    " catch (e) { return `refused: ${e}`; } document.body.append(s); return window.out ? 'OUT' : 'refused'; })()",
    "innerHTML": "(() => { try { document.body.innerHTML += `<img src=${B}/html>`; return 'OUT'; }"
    " catch (e) { return `refused: ${e}`; } })()",
    "WebRTC": "(() => { try { return new RTCPeerConnection({iceServers: [{urls: B.replace('http://', 'stun:')}]}),"
    " 'OUT'; } catch (e) { return `refused: ${e}`; } })()",
    "WebRTC of another frame": "(() => { const f = document.createElement('iframe'); document.body.append(f);"
    " try { return f.contentWindow.RTCPeerConnection ? 'OUT' : 'refused'; } catch (e) { return `refused: ${e}`; } })()",
}
"""Each is tried in the frame where files are read, and ends in a refusal or in silence; none ends in OUT."""

LEAVING = {
    "location": "location.href = B + '/location?secret'",
    "location.replace": "location.replace(B + '/replace?secret')",
    "link": "const a = document.createElement('a'); a.href = B + '/link'; a.ping = B + '/ping';"
    " document.body.append(a); a.click()",
    "download": "const a = document.createElement('a'); a.href = B + '/download?secret'; a.download = 'x';"
    " document.body.append(a); a.click()",
    "refresh": "const m = document.createElement('meta'); m.httpEquiv = 'refresh'; m.content = `0;url=${B}/refresh`;"
    " document.head.append(m)",
}
"""These end the document they are tried in, or nothing: the browser shows an error page instead of the address."""


@pytest.fixture(scope="module")
def tab(browser: Browser, path: Path) -> Opened:
    return opened(browser, path, ready=False)


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


def tried(tab: Opened, way: str, server: Recorder) -> str:
    script = f"async () => {{ const B = 'http://127.0.0.1:{server.port}'; return await ({way}); }}"
    answer = str(tab.inner.evaluate(script))
    tab.page.wait_for_timeout(50)
    return answer


@pytest.mark.parametrize("name", WAYS)
def test_the_browser_refuses(name: str, tab: Opened, server: Recorder) -> None:
    answer = tried(tab, WAYS[name], server)
    assert answer.startswith(("refused", "silence")), answer
    assert server.got == []
    assert len(tab.page.context.pages) == 1


@pytest.mark.parametrize("name", LEAVING)
def test_the_browser_refuses_to_leave_by(name: str, browser: Browser, path: Path, server: Recorder) -> None:
    tab = opened(browser, path, ready=False)
    tab.inner.wait_for_selector("#sample")
    with suppress(Error):  # where the frame goes to an error page, there is nobody left to answer
        tab.inner.evaluate(f"() => {{ const B = 'http://127.0.0.1:{server.port}'; {LEAVING[name]}; }}")
    tab.page.wait_for_timeout(500)
    assert server.got == []
    assert tab.page.url == path.as_uri()
    assert len(tab.page.context.pages) == 1
    tab.page.context.close()


def test_the_recorder_would_notice(browser: Browser, server: Recorder) -> None:
    """Without the page's policy the same attempts arrive: the tests above are not blind."""
    context = browser.new_context()
    page = context.new_page()
    for name in ("fetch, kept alive", "image", "beacon", "WebSocket"):
        before = len(server.got)
        page.evaluate(f"async () => {{ const B = 'http://127.0.0.1:{server.port}'; return await ({WAYS[name]}); }}")
        page.wait_for_timeout(200)
        assert len(server.got) > before, name
    page.evaluate(
        f"""async () => {{
            const peer = new RTCPeerConnection({{iceServers: [{{urls: 'stun:127.0.0.1:{server.port}'}}]}});
            peer.createDataChannel('x');
            await peer.setLocalDescription(await peer.createOffer());
        }}"""
    )
    page.wait_for_timeout(1500)
    assert any(line.startswith("UDP") for line in server.got)
    context.close()


def test_the_frame_around_refuses_all_but_navigation(browser: Browser, path: Path, server: Recorder) -> None:
    """It shows and reads nothing of what is dropped; what a document may always do is to go elsewhere."""
    tab = opened(browser, path, ready=False)
    for name in (
        "fetch",
        "XMLHttpRequest",
        "WebSocket",
        "image",
        "beacon",
        "form",
        "frame",
        "import",
        "WebRTC",
        "innerHTML",
    ):
        script = f"async () => {{ const B = 'http://127.0.0.1:{server.port}'; return await ({WAYS[name]}); }}"
        assert str(tab.page.evaluate(script)).startswith(("refused", "silence")), name
    assert server.got == []
    tab.page.context.close()


def test_an_ordinary_use_asks_for_nothing(browser: Browser, path: Path, server: Recorder, tmp_path: Path) -> None:
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"events {{}}\nhttp {{ server {{ location /ws {{ proxy_pass http://127.0.0.1:{server.port}; }} }} }}\n"
    )
    tab = opened(browser, path)
    asked: list[str] = []
    tab.page.context.on("request", lambda request: asked.append(request.url))
    tab.inner.fill("#url", f"ws://127.0.0.1:{server.port}/ws")
    tab.take(conf)
    assert tab.text("#trouble") == ""
    assert "WebSocket" in tab.text("#told") or tab.text("#told")
    assert server.got == []
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == []
    tab.page.context.close()


def test_the_policy_names_every_script_and_nothing_more(path: Path) -> None:
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', path.read_text(encoding="utf-8"))
    assert len(policy) == 1
    parts = dict(part.strip().split(" ", 1) for part in policy[0].split(";"))
    assert parts["default-src"] == "'none'"
    assert "connect-src" not in parts
    assert re.fullmatch(r"('sha256-[A-Za-z0-9+/=]{44}' ){2}'wasm-unsafe-eval'", parts["script-src"])
    for name in ("frame-src", "form-action", "base-uri"):
        assert parts[name] == "'none'"
    assert "unsafe-inline" not in policy[0]
    assert "'unsafe-eval'" not in policy[0]
