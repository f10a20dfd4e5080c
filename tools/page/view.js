// What is shown.  Text goes in as text nodes alone, so that nothing in a file or its name is ever markup.

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== ""));
  return made;
}

const by = (id) => document.getElementById(id);
const fill = (id, ...children) => by(id).replaceChildren(...children.flat());
const visible = (text) => text.toWellFormed ? text.toWellFormed() : text;
const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// ``code`` in our own texts.
const prose = (text) => text.split("``").map((part, at) => (at % 2 ? el("code", {}, part) : part));

const painted = (parts) => parts.map(([role, text]) => (role ? el("span", { class: `r-${role}` }, text) : text));

const source = (parts) => el("pre", { class: "source", tabindex: "0" }, el("code", {}, painted(parts)));

const WORDS = { error: "Error", warning: "Warning", note: "Note", problem: "nginx refuses this" };
const SIGNS = { yes: "✓ yes", no: "✗ no", unknown: "? unknown" };

function verdict(look) {
  const { error, warning, note, problem } = look.counts;
  const said = [
    [problem, "syntax problem"],
    [error, "error"],
    [warning, "warning"],
    [note, "note"],
  ].filter(([number]) => number);
  by("verdict").className = problem || error ? "bad" : warning ? "fair" : look.unknown.length ? "open" : "good";
  by("verdict").textContent = said.length
    ? said.map(([number, word]) => count(number, word)).join(", ")
    : look.unknown.length
      ? "No findings, but not everything is known"
      : "No findings";
  by("about").textContent =
    `${count(look.loaded.length, "file")} read as ${look.nginx} does` +
    (look.counts.suppressed ? `; ${count(look.counts.suppressed, "finding")} silenced by a comment` : "");
}

// A list of which only the first ones are shown until more are asked for.
function limited(items, most, make, wrap) {
  const box = wrap(items.slice(0, most).map(make));
  if (items.length <= most) return [box.whole];
  const more = el("button", { type: "button" }, `Show ${count(items.length - most, "more")}`.replace(/s$/, ""));
  more.addEventListener("click", () => {
    box.inside.append(...items.slice(most).map(make));
    more.remove();
  });
  return [box.whole, more];
}

function table(caption, heads, rows) {
  const body = el("tbody", {}, rows);
  const head = el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text))));
  const whole = el("table", {}, el("caption", { class: "unseen" }, caption), head, body);
  return { whole: el("div", { class: "scroll", role: "group", "aria-label": caption, tabindex: "0" }, whole), inside: body };
}

function fixOf(item) {
  const unsafe = item.safety === "unsafe";
  const why = unsafe ? item.reason || "it changes other requests too" : item.reason;
  const tag = el("span", { class: unsafe ? "tag warning" : "tag good" }, unsafe ? "unsafe" : "safe");
  return el("p", { class: "fix" }, el("b", {}, "Fix: "), item.title, " ", tag, why ? el("span", { class: "hint" }, ` ${why}`) : "");
}

function finding(item) {
  const level = item.level || "problem";
  return el(
    "article",
    { class: `finding ${level}` },
    el("h3", {}, el("span", { class: `tag ${level}` }, WORDS[level]), " ", item.message),
    item.rule ? el("p", { class: "rule" }, `${item.rule} · ${item.code}`) : null,
    source(item.excerpt),
    (item.fixes || []).map(fixOf),
    item.help ? el("p", {}, el("b", {}, "Help: "), item.help) : null,
    item.why ? el("details", {}, el("summary", {}, "Why it matters"), item.why.split("\n\n").map((part) => el("p", {}, prose(part)))) : null,
  );
}

// The findings that were not given yet.
function moreFindings(box, shown, total) {
  if (shown >= total) return [];
  const button = el("button", { type: "button" }, `Show more of the ${total.toLocaleString("en")} findings`);
  button.addEventListener("click", () =>
    guarded(async () => {
      const { findings } = await ask({ ask: "more", from: shown });
      const first = finding(findings[0]);
      box.append(first, ...findings.slice(1).map(finding));
      button.replaceWith(...moreFindings(box, shown + findings.length, total));
      first.tabIndex = -1;
      first.focus();
    }),
  );
  return [button];
}

function showFindings(look) {
  const { error, warning, note } = look.counts;
  const box = el("div", {}, look.problems.map(finding), look.findings.map(finding));
  if (!box.firstChild) box.append(el("p", {}, "Nothing in these files keeps a WebSocket from working, as far as they show."));
  fill("findings", box, moreFindings(box, look.findings.length, error + warning + note));
  const unknown = look.unknown.slice(0, 30).map((text) => el("li", {}, text));
  const rest = look.unknown.length - unknown.length;
  if (rest > 0) unknown.push(el("li", {}, `and ${rest} more`));
  const open = look.unknown.length <= 4;
  fill("notes", unknown.length ? el("details", { open, class: "unknown" }, el("summary", {}, `Not known (${look.unknown.length})`), el("ul", {}, unknown)) : []);
}

function routeRow(row) {
  const faint = row.websocket === "none" && row.answer !== "yes" ? " faint" : "";
  return el(
    "tr",
    { class: faint },
    el("td", { title: row.more.join(", ") }, row.server, row.more.length > 1 ? el("span", { class: "hint" }, ` +${row.more.length - 1}`) : ""),
    el("td", { class: "mono" }, row.location),
    el("td", { class: "mono" }, row.upstream),
    el("td", { class: `answer ${row.answer}` }, SIGNS[row.answer]),
    el("td", {}, row.note),
    el("td", { class: "mono place" }, row.place),
  );
}

function showRoutes(routes) {
  if (!routes.length) {
    fill("routes", el("p", {}, "No location here forwards anything to a backend."));
    return;
  }
  const heads = ["Server", "Location", "Goes to", "WebSocket", "Because", "Place"];
  fill("routes", limited(routes, 100, routeRow, (rows) => table("Routes", heads, rows)));
}

function variant(item) {
  const steps = item.steps.map((step) =>
    el("tr", {}, el("th", { scope: "row" }, step.step), el("td", { class: "mono" }, step.chosen), el("td", {}, step.why), el("td", { class: "mono place" }, step.place)),
  );
  const parts = [item.heading ? el("h3", {}, `On ${item.heading}`) : null, table("Decisions", ["Step", "Chosen", "Because", "Place"], steps).whole];
  if (item.answer) {
    parts.push(el("p", { class: `outcome ${item.answer.kind}` }, item.answer.text, item.answer.body ? `: ${item.answer.body}` : ""));
    return parts;
  }
  const hops = item.hops.map((hop) =>
    el("tr", { class: hop.lost ? "lost" : "" }, el("td", { class: "mono" }, hop.client), el("td", {}, hop.lost && hop.nginx ? `✗ ${hop.nginx}` : hop.nginx), el("td", { class: "mono" }, hop.backend || (hop.client ? "—" : ""))),
  );
  parts.push(table("Header fields", ["Client sends", "nginx", `${item.upstream} gets`], hops).whole);
  parts.push(el("p", { class: `outcome ${item.tunnel.kind}` }, el("b", {}, "Tunnel: "), item.tunnel.text));
  if (item.timeout) parts.push(el("p", {}, el("b", {}, "Timeout: "), item.timeout));
  return parts;
}

function showExplained(answer) {
  const unknown = answer.unknown.slice(0, 20).map((text) => el("li", {}, text));
  fill("explained", answer.variants.flatMap(variant).filter(Boolean), unknown.length ? [el("p", {}, el("b", {}, "Not known")), el("ul", {}, unknown)] : []);
}

// The first words of the answer: whether the address that was asked for gets its tunnel.
function told(answer) {
  const ends = answer.variants.map((item) => ({ heading: item.heading, ...(item.answer || item.tunnel) }));
  const same = new Set(ends.map((end) => end.text)).size === 1;
  const shown = same ? ends.slice(0, 1) : ends;
  return shown.map((end) => el("p", { class: `outcome ${end.kind}` }, el("b", {}, answer.url), same || !end.heading ? ": " : `, on ${end.heading}: `, end.text.replace(/^(yes|no|unknown): /, "")));
}

const DIFF = { "+": "added", "-": "removed", "@": "gutter" };

const diffLine = (line) => {
  const role = /^(---|\+\+\+) /.test(line) ? "title" : DIFF[line[0]] || "plain";
  return el("span", { class: `r-${role}` }, `${visible(line)}\n`);
};

// The diff as it may be looked at, secrets masked; what is downloaded is exact.
function diffView(lines) {
  const most = 2000;
  const left = lines.length > most ? [`… and ${count(lines.length - most, "more line")}`] : [];
  const shown = [...lines.slice(0, most).map(diffLine), ...left];
  return el("pre", { class: "source diff", tabindex: "0", "aria-label": "The change as a diff" }, el("code", {}, shown));
}

function showFix(answer, sums) {
  if (!answer.files.length) {
    const text = answer.held.length ? "No fix here is safe to apply without asking." : "There is nothing that an edit can fix.";
    fill("fix", el("p", {}, text), held(answer));
    return;
  }
  const one = answer.files.length === 1;
  const rows = answer.files.map((file) =>
    el("tr", {}, el("td", { class: "mono" }, file.shown), el("td", { class: "mono sum" }, sums[file.name] || "")),
  );
  fill(
    "fix",
    el("ul", { class: "done" }, answer.applied.slice(0, 20).map((item) => el("li", {}, el("b", {}, item.rule), ` ${item.title}`)),
      answer.applied.length > 20 ? el("li", {}, `and ${answer.applied.length - 20} more`) : null),
    held(answer),
    diffView(answer.shown),
    el("p", { class: "buttons" },
      el("button", { type: "button", class: "primary", onclick: saveFixed }, one ? "Download the fixed file" : `Download the ${answer.files.length} fixed files`),
      el("button", { type: "button", onclick: () => save("ws101.diff", bytesOf(answer.diff)) }, "Download the diff")),
    el("p", { class: "about" }, "Apply the diff in ", el("code", {}, visible(answer.folder)), ": ", el("code", {}, "patch -p0 < ws101.diff"), ", then ", el("code", {}, "nginx -t"), "."),
    table("Fixed files", ["Fixed file", "SHA-256"], rows).whole,
  );
}

function held(answer) {
  const items = answer.held.slice(0, 20).map((item) => el("li", {}, el("b", {}, item.rule), ` ${item.title}: ${item.reason || "it changes other requests too"}`));
  const left = answer.left.slice(0, 20).map((item) => el("li", {}, el("b", {}, item.rule), ` ${item.help || item.message}`));
  return [
    items.length ? el("details", {}, el("summary", {}, `Held back as unsafe (${answer.held.length})`), el("ul", {}, items)) : null,
    left.length ? el("details", { open: !answer.files.length }, el("summary", {}, `Left to you (${answer.left.length})`), el("ul", {}, left)) : null,
  ].filter(Boolean);
}

function showSums(files, digests, how, refused) {
  const rows = files.map((file) => el("tr", {}, el("td", { class: "mono" }, visible(file.name), file.binary ? el("span", { class: "hint" }, " binary") : ""), el("td", { class: "number" }, file.size.toLocaleString("en")), el("td", { class: "mono sum" }, digests[file.name])));
  fill("sums", limited(rows, 100, (row) => row, (some) => table("SHA-256 of each file", ["File", "Bytes", "SHA-256"], some)), el("p", { class: "about" }, how), skipped(refused));
}

const skipped = (refused) =>
  refused.length
    ? [el("details", { class: "unknown" }, el("summary", {}, `Not taken (${refused.length})`), el("ul", {}, refused.slice(0, 100).map((item) => el("li", {}, el("code", {}, visible(item.name)), `: ${item.why}`))))]
    : [];

const DRIFT = { clean: "Nothing differs from the manifest.", drift: "The files are not what was sealed.", unchecked: "Not everything could be checked." };

function showCompared(answer) {
  const rows = answer.changes.slice(0, 200).map((item) => el("tr", {}, el("td", {}, el("span", { class: "tag warning" }, item.kind)), el("td", { class: "mono" }, item.name), el("td", {}, item.detail)));
  fill("compared", el("p", { class: `outcome ${answer.class === "clean" ? "yes" : "no"}` }, DRIFT[answer.class] || answer.class, el("span", { class: "hint" }, ` ${visible(answer.name)}`)),
    rows.length ? table("What differs", ["Kind", "File", "Detail"], rows).whole : []);
}
