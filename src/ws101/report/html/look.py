"""How pages look: one style sheet, light and dark, for screens and for paper."""

from __future__ import annotations

import base64
import hashlib

__all__ = ["POLICY", "STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --text: #1b2330; --dim: #566170; --line: #dde2e8; --code: #f3f5f8;
  --bad: #b0201a; --bad-back: #fdeceb; --warn: #835300; --warn-back: #fff3d9; --good: #14643a; --good-back: #e5f5ec;
  --unknown: #6a3aa6; --unknown-back: #f3ecfb; --path: #1b57b3; --bar: #7ea9e6; --bad-bar: #df7d76;
  --good-bar: #63b98a; --warn-bar: #e2af4f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10141a; --card: #181e26; --text: #e3e8ef; --dim: #9ca8b7; --line: #2b3440; --code: #11161d;
    --bad: #ff938a; --bad-back: #3a1c1b; --warn: #f3c570; --warn-back: #352910; --good: #7fd9a5;
    --good-back: #14301f; --unknown: #ccacf8; --unknown-back: #2a2039; --path: #8fb9ff; --bar: #4f7fc4;
    --bad-bar: #c25a52; --good-bar: #3f9468; --warn-bar: #b5832c;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 66rem; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1, h2, h3, p, ul, ol, pre, table { margin: 0; }
h1 { font-size: 1.45rem; line-height: 1.35; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; font-weight: 650; margin-bottom: .75rem; }
h3 { font-size: 1rem; font-weight: 650; }
pre, code, .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { font-size: .82rem; line-height: 1.5; background: var(--code); border: 1px solid var(--line);
  border-radius: 8px; padding: .75rem .9rem; overflow-x: auto; tab-size: 4; }
code, .mono { font-size: .86em; overflow-wrap: anywhere; }
header, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.25rem 1.4rem; margin-bottom: 1rem; }
header { border-left-width: 6px; }
header.broken { border-left-color: var(--bad); } header.degraded { border-left-color: var(--warn); }
header.works { border-left-color: var(--good); } header.unknown { border-left-color: var(--unknown); }
header p { margin-top: .45rem; }
.verdict { font-size: .8rem; font-weight: 700; letter-spacing: .06em; text-transform: uppercase; margin: 0 0 .3rem; }
.badge { display: inline-block; font-size: .78rem; font-weight: 600; line-height: 1.5; padding: .05rem .55rem;
  border-radius: 999px; white-space: nowrap; }
.broken .verdict, .badge.error { color: var(--bad); background: var(--bad-back); }
.degraded .verdict, .badge.warning { color: var(--warn); background: var(--warn-back); }
.works .verdict, .badge.good { color: var(--good); background: var(--good-back); }
.unknown .verdict, .badge.note { color: var(--unknown); background: var(--unknown-back); }
.verdict span { padding: .15rem .6rem; }
.verdict { display: inline-block; border-radius: 999px; padding: .1rem .7rem; }
.badge.sure { color: var(--dim); border: 1px solid var(--line); }
.lead { font-size: 1.05rem; }
.dim, .remark, footer, caption { color: var(--dim); }
.remark { font-size: .9rem; margin-top: .6rem; }
p + table, p + p, .remark + table { margin-top: .7rem; }
.cause + .cause { border-top: 1px solid var(--line); margin-top: 1.1rem; padding-top: 1.1rem; }
.cause h3 { margin: .35rem 0 .6rem; font-size: 1.05rem; overflow-wrap: anywhere; }
.cause ul, .plain { padding-left: 1.2rem; margin: .6rem 0 0; overflow-wrap: anywhere; }
.help { margin-top: .6rem; overflow-wrap: anywhere; }
.help strong, .next strong { color: var(--good); }
.hops { list-style: none; padding: 0; display: flex; align-items: stretch; margin-bottom: 1rem; }
.hop { flex: 1 1 0; min-width: 0; border: 1px solid var(--line); border-top: 4px solid var(--bar);
  border-radius: 8px; padding: .7rem .85rem; overflow-wrap: anywhere; }
.hop.bad { border-top-color: var(--bad-bar); } .hop.good { border-top-color: var(--good-bar); }
.hop.warn { border-top-color: var(--warn-bar); }
.hop p { font-size: .9rem; margin-top: .2rem; } .hop .dim, .hop .mono { font-size: .84rem; }
.arrow { flex: 0 0 2.6rem; align-self: center; text-align: center; }
.arrow svg { width: 2rem; height: 1.1rem; display: inline-block; vertical-align: middle; }
.arrow path { fill: none; stroke: var(--dim); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.arrow.bad path { stroke: var(--bad); } .arrow.good path { stroke: var(--good); }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; font-size: .9rem; padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th, thead td { border-top: 0; color: var(--dim); font-weight: 600; font-size: .84rem; }
tbody th { font-weight: 500; }
tr.lost td, tr.lost th { color: var(--bad); background: var(--bad-back); }
.fields + table { margin-top: 1.4rem; }
@media (min-width: 46.01rem), print {
  .fields td { width: 33.3%; }
  .tried th:first-child { width: 52%; } .tried td:last-child { width: 6rem; white-space: nowrap; }
  .decisions th:first-child { width: 7rem; } .decisions td:last-child { width: 30%; }
  tr.lost td:first-child { box-shadow: -.4rem 0 0 var(--bad-back); }
}
.chart { table-layout: fixed; }
.chart th:first-child { width: 26%; } .chart .figure, .chart th:last-child { width: 27%; }
.chart th:last-child, .figure { padding-left: .8rem; }
.chart .bar svg { display: block; width: 100%; height: 1.25rem; overflow: visible; }
.bar rect { fill: var(--bar); } .bar rect.good { fill: var(--good-bar); } .bar rect.bad { fill: var(--bad-bar); }
.bar rect.warn { fill: var(--warn-bar); } .bar rect.open { opacity: .75; }
.bar line { vector-effect: non-scaling-stroke; stroke: var(--text); stroke-width: 2; }
.bar line.limit { stroke: var(--warn); stroke-dasharray: 3 3; }
.limit-key { display: inline-block; width: 0; height: 1em; border-left: 2px dashed var(--warn); margin-right: .5rem;
  vertical-align: -.15em; }
.wire { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; } .wire > * { min-width: 0; }
.wire pre { white-space: pre-wrap; overflow-wrap: anywhere; } .wire h3 { margin-bottom: .4rem; }
.fix + .fix { margin-top: 1rem; } .fix p { margin: .3rem 0 .5rem; }
.added { color: var(--good); background: var(--good-back); }
.removed { color: var(--bad); background: var(--bad-back); }
pre .error { color: var(--bad); font-weight: 700; } pre .warning { color: var(--warn); font-weight: 700; }
pre .note { color: var(--unknown); font-weight: 700; }
.path, pre .path { color: var(--path); } .gutter { color: var(--dim); } pre .title { font-weight: 700; }
.tick-good { color: var(--good); } .tick-bad { color: var(--bad); }
footer { font-size: .85rem; padding: .5rem .2rem; overflow-wrap: anywhere; } footer p { margin-top: .25rem; }
@media screen and (max-width: 46rem) {
  body { padding: 1rem .6rem 2rem; } header, section { padding: 1rem; }
  .hops { flex-direction: column; } .arrow { flex-basis: auto; padding: .2rem 0; }
  .arrow svg { transform: rotate(90deg); }
  .wire { grid-template-columns: minmax(0, 1fr); }
  .stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .stack tr { display: block; padding: .4rem 0; border-top: 1px solid var(--line); }
  .stack td, .stack tbody th { display: block; width: auto; border: 0; padding: .1rem 0; }
  .stack td:empty { display: none; }
  .stack [data-label]::before { content: attr(data-label) ": "; color: var(--dim); font: .84rem system-ui, sans-serif; }
  .stack tr.lost { background: var(--bad-back); }
  .chart th:first-child { width: 34%; } .chart .figure, .chart th:last-child { width: 34%; }
}
@media print {
  :root { color-scheme: light;
    --page: #ffffff; --card: #ffffff; --text: #000000; --dim: #444c57; --line: #c9cfd6; --code: #ffffff;
    --bad: #a01812; --bad-back: #fdeceb; --warn: #6f4600; --warn-back: #fff3d9; --good: #0d5430;
    --good-back: #e5f5ec; --unknown: #59308c; --unknown-back: #f3ecfb; --path: #14468f; --bar: #7ea9e6;
    --bad-bar: #df7d76; --good-bar: #63b98a; --warn-bar: #e2af4f; }
  @page { margin: 14mm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { padding: 0; max-width: none; font-size: 10.5pt; }
  header, section { border-radius: 0; border: 0; border-top: 1px solid var(--line); padding: .8rem 0; margin: 0; }
  header { border-top: 0; border-left: 6px solid; padding-left: .9rem; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 7.8pt; }
  h2, h3, caption, thead { break-after: avoid; }
  tr, .hops, .fix p, .cause h3, .wire h3 { break-inside: avoid; }
  .chart, .cause pre { break-inside: avoid; }
}
"""
"""The style sheet."""

POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'"
)
"""What a page may load and run: its own style sheet, by its digest, and nothing else."""
