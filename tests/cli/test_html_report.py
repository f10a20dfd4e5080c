"""``diagnose --html``: the file, and what a real browser makes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import SITE, ws101
from ws101.host.browser import find_browser
from ws101.lab.backends import Recorder, plain
from ws101.lab.ports import free_ports
from ws101.lab.story import Deployment

BROWSER = find_browser()
URL = "ws://example.com:8080/ws"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nginx.conf"
    path.write_text(SITE)
    return path


# the file


def test_the_page_is_written_beside_the_usual_report(conf: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    plain_run = ws101("diagnose", URL, "--conf", str(conf), "--offline")
    done = ws101("diagnose", URL, "--conf", str(conf), "--offline", "--html", str(page))
    assert (done.code, done.out) == (plain_run.code, plain_run.out) == (1, plain_run.out)
    assert done.err == f"The report is in {page}\n"
    text = page.read_text()
    assert "upgrade-not-forwarded" in text
    assert "+            proxy_http_version 1.1;" in text
    assert f"ws101 fix {conf} --url {URL} --apply" in text


def test_json_on_standard_output_stays_json(conf: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = ws101("diagnose", URL, "--conf", str(conf), "--offline", "--html", str(page), "--format", "json")
    assert json.loads(done.out)["verdict"] == "broken"
    assert page.exists()


def test_an_older_report_is_replaced_and_nothing_else_is(conf: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    run = ("diagnose", URL, "--conf", str(conf), "--offline", "--html")
    assert ws101(*run, str(page)).code == 1
    page.write_text(page.read_text() + "<!-- yesterday -->")
    assert ws101(*run, str(page)).code == 1
    assert "yesterday" not in page.read_text()
    done = ws101(*run, str(conf))
    assert done.code == 2
    assert "is no report of ws101" in done.err
    assert conf.read_text() == SITE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nginx.conf", "report.html"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "this is a folder"),
        ("missing/report.html", "there is no such folder"),
        ("nginx.conf/report.html", "there is no such folder"),
        ("pipe", "it is a named pipe, not a file"),
        ("n" * 300, "File name too long"),
        ("", "this is a folder"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_asked(
    conf: Path, tmp_path: Path, name: str, said: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with Recorder() as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        done = ws101("diagnose", url, "--no-conf", "--html", name, cwd=tmp_path)
        assert not server.requests
    assert done.code == 2
    assert said in done.err
    assert "-->" in done.err
    assert "help:" in done.err
    assert "Traceback" not in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_named(conf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    done = ws101("diagnose", URL, "--conf", str(conf), "--offline", "--html", str(folder / "report.html"))
    assert done.code == 2
    assert "not yours to write to" in done.err


def test_a_site_that_cannot_be_reached_has_its_page(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    done = ws101("diagnose", f"ws://127.0.0.1:{port}/ws", "--no-conf", "--html", "r.html", cwd=tmp_path)
    assert done.code == 1
    assert (
        "It went no further" in (tmp_path / "r.html").read_text()
        or "Nothing to show" in (tmp_path / "r.html").read_text()
    )


# in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, to be asked for pages."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail("there is no browser: install chromium")
        pytest.skip("there is no browser on this machine")
    with sync_api.sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield program
        program.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of a broken site, of one whose answer is hostile, and of one that works, each from live runs."""
    folder = tmp_path_factory.mktemp("pages")
    made = {name: folder / f"{name}.html" for name in ("story", "hostile", "works")}
    with Deployment() as story:
        near = ("--resolve", f"example.com:{story.port}:127.0.0.1")
        conf = ("--conf", str(story.conf))
        ws101("diagnose", f"{story.url}?token=TOPSECRET", *conf, *near, "--html", str(made["story"]))
        works = f"ws://example.com:{story.port}/dashboard/live"
        ws101("diagnose", works, *conf, *near, "--html", str(made["works"]))
    answer = plain(403, "<img src=x onerror=alert(1)>", HOSTILE_BODY, *HOSTILE_FIELDS)
    with Recorder(lambda _: answer) as server:
        url = f"ws://127.0.0.1:{server.port}/</title><script>alert(1)</script>"
        ws101("diagnose", url, "--no-conf", "-H", "X-Me: <script>alert(2)</script>", "--html", str(made["hostile"]))
    return made


HOSTILE_BODY = (
    "</pre><script>fetch('http://127.0.0.1:9/')</script><style>body{background:url(http://127.0.0.1:9/)}</style>"
)
HOSTILE_FIELDS = (("X-Bad", '"><svg onload=alert(3)>\x1b[31m'), ("Link", "<http://127.0.0.1:9/a.css>; rel=stylesheet"))


def opened(browser: Any, path: Path, scheme: str = "light", width: int = 1100) -> tuple[Any, list[str], list[str]]:
    """A page, what it asked for, and what its console said."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    page.goto(path.as_uri())
    return page, asked, said


@pytest.mark.parametrize("name", ["story", "hostile", "works"])
def test_it_asks_for_nothing_and_the_console_is_silent(browser: Any, pages: dict[str, Path], name: str) -> None:
    page, asked, said = opened(browser, pages[name])
    assert asked == [pages[name].as_uri()]
    assert said == []
    assert page.evaluate("document.scripts.length + document.querySelectorAll('img,iframe,link,object,a').length") == 0
    assert page.evaluate("document.styleSheets.length") == 1
    assert page.evaluate("getComputedStyle(document.querySelector('header')).borderRadius") == "12px"


ADDED = """(base) => {
  for (const [tag, key] of [['img', 'src'], ['script', 'src'], ['link', 'href'], ['iframe', 'src']]) {
    const made = document.createElement(tag);
    made.rel = 'stylesheet';
    made[key] = base + tag;
    document.body.append(made);
  }
  const own = document.createElement('style');
  own.textContent = 'body { color: red }';
  document.head.append(own);
}"""


def test_the_policy_stops_what_would_be_added(browser: Any, pages: dict[str, Path]) -> None:
    page, _, said = opened(browser, pages["story"])
    with Recorder() as server:
        page.evaluate(ADDED, f"http://127.0.0.1:{server.port}/")
        page.wait_for_timeout(300)
        assert not server.requests
    assert len([line for line in said if "Content Security Policy" in line]) >= 4
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"


def test_hostile_text_is_shown_as_text(browser: Any, pages: dict[str, Path]) -> None:
    page, _, _ = opened(browser, pages["hostile"])
    text = page.inner_text("body")
    assert "<script>alert(2)</script>" in text
    assert "<img src=x onerror=alert(1)>" in text
    assert '"><svg onload=alert(3)>\\x1b[31m' in text
    assert "fetch('http://127.0.0.1:9/')" in text
    assert "TOPSECRET" not in pages["story"].read_text()


STRUCTURE = """() => ({
  titles: [...document.querySelectorAll('h1,h2,h3')].map(item => +item.tagName[1]),
  sections: [...document.querySelectorAll('section')].every(
    item => document.getElementById(item.getAttribute('aria-labelledby'))),
  ids: [...document.querySelectorAll('[id]')].map(item => item.id),
  heads: [...document.querySelectorAll('table')].every(
    item => item.caption && item.querySelector('thead th[scope=col]')),
  pictures: [...document.querySelectorAll('svg')].every(
    item => item.getAttribute('aria-hidden') === 'true' || item.getAttribute('aria-label')),
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
})"""


@pytest.mark.parametrize("width", [1100, 360])
@pytest.mark.parametrize("name", ["story", "hostile", "works"])
def test_its_structure_is_sound_and_it_fits_its_window(
    browser: Any, pages: dict[str, Path], name: str, width: int
) -> None:
    page, _, _ = opened(browser, pages[name], width=width)
    found = page.evaluate(STRUCTURE)
    assert found["titles"][0] == 1
    assert found["titles"].count(1) == 1
    assert all(after - before <= 1 for before, after in zip(found["titles"], found["titles"][1:], strict=False))
    assert found["sections"]
    assert found["heads"]
    assert found["pictures"]
    assert len(found["ids"]) == len(set(found["ids"]))
    assert found["wide"] == 0


CONTRAST = """() => {
  const parse = text => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = item => {
    for (let at = item; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const item = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim()) continue;
    const one = light(parse(getComputedStyle(item).color)), two = light(behind(item));
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) poor.push([ratio, walker.currentNode.data, item.className]);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["story", "hostile", "works"])
def test_every_text_has_enough_contrast(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    page, _, _ = opened(browser, pages[name], scheme)
    assert page.evaluate(CONTRAST) == []
    page.emulate_media(media="print")
    assert page.evaluate(CONTRAST) == []


def test_light_and_dark_differ_and_paper_is_white(browser: Any, pages: dict[str, Path]) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        page, _, _ = opened(browser, pages["story"], scheme)
        colors[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert colors["light"] != colors["dark"]


def test_on_paper_nothing_is_cut_off(browser: Any, pages: dict[str, Path]) -> None:
    page, _, _ = opened(browser, pages["story"], width=680)
    page.emulate_media(media="print")
    cut = page.evaluate(
        "() => [...document.querySelectorAll('pre, td, th, .hop, h1')]"
        ".filter(item => item.scrollWidth > item.clientWidth + 1).map(item => item.textContent.slice(0, 80))"
    )
    assert cut == []
    assert page.pdf(format="A4").startswith(b"%PDF")
