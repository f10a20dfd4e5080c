// What happens when: from a drop to the answers.
"use strict";
for (const name of Object.getOwnPropertyNames(window)) {
  // Web real-time connections are the one way out that a Content-Security-Policy does not know.
  if (/^(webkit)?RTC/.test(name)) delete window[name];
}

const LIMITS = @limits@;
const SAMPLE = @sample@;
const state = { files: [], mains: [], dump: false, digests: {}, diff: null, turn: 0 };

// The engine: a worker, spoken to by numbered messages.

const waiting = new Map();
let engine = null;
let number = 0;
let ready = new Promise((resolve, reject) => waiting.set("start", { resolve, reject }));
ready.catch(() => {});

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("ws101", { createScriptURL: (address) => (address.startsWith("blob:") ? address : "") })
  : { createScriptURL: (address) => address };

let begun = false;
const greet = () => window.parent.postMessage({ ready: true }, "*");

async function begin(parts) {
  begun = true;
  const script = await unpacked(parts.script);
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  engine = new Worker(policy.createScriptURL(address));
  engine.onmessage = ({ data }) => {
    const one = waiting.get(data.number);
    waiting.delete(data.number);
    if (data.failed !== undefined) one.reject(new Error(data.failed));
    else one.resolve({ ...data.answer, took: data.took });
  };
  engine.onerror = (event) => ending(event.message || "it could not be started");
  call("start", { parts: { wasm: parts.wasm, library: parts.library, own: parts.own } }).then(
    () => {
      document.documentElement.dataset.ready = String(Math.round(performance.now()));
      waiting.get("start").resolve();
      if (!state.files.length) say("Ready.");
    },
    (error) => ending(error.message),
  );
}

function ending(reason) {
  waiting.get("start").reject(new Error(reason));
  trouble({ message: `the analysis does not run in this browser: ${reason}`, where: "", help: "a current Chromium, Chrome, Edge, Firefox or Safari is needed" });
}

function call(deed, rest, moved = []) {
  number += 1;
  const mine = number;
  return new Promise((resolve, reject) => {
    waiting.set(mine, { resolve, reject });
    engine.postMessage({ number: mine, deed, ...rest }, moved);
  });
}

class Refused extends Error {
  constructor(error) {
    super(error.message);
    this.said = error;
  }
}

async function ask(question) {
  const answer = await call("ask", { question });
  if (answer.error) throw new Refused(answer.error);
  return answer;
}

// What is said to the user.

const say = (text) => (by("status").textContent = text);

function trouble(error) {
  const parts = [el("b", {}, error.where ? `${visible(error.where)}: ` : ""), visible(error.message)];
  if (error.help) parts.push(el("span", { class: "hint" }, ` ${error.help}`));
  fill("trouble", el("p", {}, parts));
  say("");
}

async function guarded(deed) {
  fill("trouble");
  document.body.classList.add("busy");
  try {
    await deed();
  } catch (error) {
    trouble(error.said || { message: `this should not happen: ${error.message}`, where: "", help: "try the command: ws101 check" });
  } finally {
    document.body.classList.remove("busy");
  }
}

// Bytes.

const bytesOf = (latin) => Uint8Array.from(latin, (character) => character.charCodeAt(0));
const latinOf = async (blob) => new TextDecoder("x-user-defined").decode(await blob.arrayBuffer()).replace(/[\uf780-\uf7ff]/g, (c) => String.fromCharCode(c.charCodeAt(0) & 0xff));
const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const digest = async (bytes) => hex(await crypto.subtle.digest("SHA-256", bytes));
const save = (name, bytes) => window.parent.postMessage({ save: { name, bytes } }, "*");

// A drop.

function megabytes(size) {
  return `${(size / 1048576).toFixed(size < 10485760 ? 1 : 0)} MB`;
}

function refuseBySize(items) {
  const size = items.reduce((sum, item) => sum + item.file.size, 0);
  if (items.length > LIMITS.files) {
    throw new Refused({ message: `there are more than ${LIMITS.files} files`, where: "", help: "drop the configuration's folder alone" });
  }
  if (size > LIMITS.total) {
    const where = items.length === 1 ? items[0].name : "";
    throw new Refused({ message: `this is ${megabytes(size)}; at most ${megabytes(LIMITS.total)} is taken`, where, help: "drop the configuration's folder alone, or nginx.conf" });
  }
}

async function readAll(items) {
  const read = [];
  for (const item of items) {
    try {
      read.push({ name: item.name, data: await item.file.arrayBuffer() });
    } catch {
      const help = "if it is a folder: Choose a folder";
      throw new Refused({ message: "it cannot be read", where: item.name, help });
    }
  }
  return read;
}

const take = (items, troubles = []) =>
  guarded(async () => {
    if (troubles.length) throw new Refused({ message: troubles.join("; "), where: "", help: "" });
    if (!items.length) throw new Refused({ message: "there is no file in it", where: "", help: "drop nginx.conf, or its whole folder" });
    refuseBySize(items);
    say("Reading…");
    const files = await readAll(items);
    if (!document.documentElement.dataset.ready) say("Starting Python in this browser; a few seconds…");
    await ready;
    by("results").hidden = true;
    const { said, contents } = await call("drop", { files }, files.map((file) => file.data));
    if (said.error) throw new Refused(said.error);
    Object.assign(state, { files: said.files, mains: said.mains, dump: said.dump, refused: said.refused, manifest: said.manifest });
    await hash(contents);
    choices();
    await look();
  });

async function hash(contents) {
  const subtle = Boolean(window.crypto && window.crypto.subtle);
  const digests = {};
  if (subtle) {
    for (const [at, file] of state.files.entries()) digests[file.name] = await digest(contents[at]);
  }
  state.digests = (await ask({ ask: "sums", digests })).digests;
  state.how = subtle ? "Computed by this browser (crypto.subtle)." : "Computed by Python's hashlib: this browser offers crypto.subtle only to pages it calls secure.";
}

function choices() {
  fill("main", state.mains.slice(0, 500).map((name) => el("option", { value: name }, visible(name))));
  by("main-row").hidden = state.mains.length < 2;
  by("place-row").hidden = state.dump;
  by("again").disabled = false;
}

const question = () => ({ main: by("main").value, folder: by("place").value, nginx: by("nginx").value, urls: by("url").value.trim() ? [by("url").value.trim()] : [] });

async function look() {
  state.turn += 1;
  const turn = state.turn;
  if (!state.mains.length) {
    showSums(state.files, state.digests, state.how, state.refused);
    throw new Refused({ message: "there is no text among these files", where: "", help: "drop nginx.conf, or its whole folder" });
  }
  say("Analysing…");
  const asked = { ask: "look", ...question() };
  const size = state.files.reduce((sum, file) => sum + file.size, 0);
  const staged = !asked.nginx && size > LIMITS.large;
  const first = await ask(staged ? { ...asked, nginx: LIMITS.newest } : asked);
  if (turn !== state.turn) return;
  show(first);
  document.documentElement.dataset.took = String(Math.round(first.took));
  by("results").hidden = false;
  by("verdict").focus();
  if (staged) {
    say(`As nginx ${LIMITS.newest} reads it, done in ${time(first.took)}. Now comparing with the older versions; tell the version to spare that.`);
    const every = await ask(asked);
    if (turn !== state.turn) return;
    show(every);
    say(`Compared for every version in ${time(first.took + every.took)}.`);
  } else {
    say(`Done in ${time(first.took)}.`);
  }
  await further(turn, size > LIMITS.large);
}

const time = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`;

function show(answer) {
  verdict(answer);
  showFindings(answer);
  showRoutes(answer.routes);
  showSums(state.files, state.digests, state.how, state.refused);
  by("sealed").textContent = "";
  fill("explained");
  fill("told");
  fill("compared");
  fill("fix", el("p", {}, "Not worked out yet."));
}

// What takes longer than the findings, or depends on what was given.
async function further(turn, large) {
  const current = () => turn === state.turn;
  const url = by("url").value.trim();
  if (url) {
    by("ask-url").value = url;
    fill("told", told(await explain()));
  }
  if (state.manifest) await compare({});
  if (!current()) return;
  if (large) fill("fix", el("button", { type: "button", onclick: () => guarded(mend) }, "Work out the fix"), el("span", { class: "hint" }, " this proves that no other request changes, which may take a minute here"));
  else await mend();
  document.documentElement.dataset.done = String(turn);
}

async function explain() {
  const answer = await ask({ ask: "explain", url: by("ask-url").value });
  showExplained(answer);
  return answer;
}

async function mend() {
  fill("fix", el("p", {}, "Working out the fix…"));
  const answer = await ask({ ask: "mend", unsafe: by("unsafe").checked });
  const sums = {};
  if (window.crypto && window.crypto.subtle) {
    for (const file of answer.files) sums[file.name] = await digest(bytesOf(file.text));
  }
  state.mended = answer;
  showFix(answer, sums);
}

async function saveFixed() {
  const { files } = state.mended;
  if (files.length === 1) save(files[0].name.split("/").pop(), bytesOf(files[0].text));
  else save("fixed.zip", bytesOf((await ask({ ask: "bundle" })).zip));
}

async function compare(extra) {
  showCompared(await ask({ ask: "compare", ...extra }));
}

// What the user does.

const named = (file) => ({ name: file.webkitRelativePath || file.name, file });

for (const [button, input] of [["choose-files", "files"], ["choose-folder", "folder-input"]]) {
  by(button).addEventListener("click", () => by(input).click());
  by(input).addEventListener("change", () => {
    const items = [...by(input).files].map(named);
    by(input).value = "";
    take(items);
  });
}
by("open-paste").addEventListener("click", () => {
  const hidden = !by("paste").hidden;
  by("paste").hidden = hidden;
  by("open-paste").setAttribute("aria-expanded", String(!hidden));
  if (!hidden) by("paste-text").focus();
});
const pasted = (text) => take([{ name: "nginx.conf", file: new Blob([text]) }]);
by("look-paste").addEventListener("click", () => pasted(by("paste-text").value));
by("sample").addEventListener("click", () => {
  by("url").value = "wss://example.com/ws";
  pasted(SAMPLE);
});
// No forms: the sandbox refuses to submit any, so Enter is listened for.
const entered = (id, deed) => by(id).addEventListener("keydown", (event) => event.key === "Enter" && deed());
const again = () => state.files.length && guarded(look);
by("again").addEventListener("click", again);
for (const id of ["main", "nginx"]) by(id).addEventListener("change", again);
for (const id of ["url", "place"]) entered(id, again);
by("explain").addEventListener("click", () => guarded(explain));
entered("ask-url", () => guarded(explain));
by("unsafe").addEventListener("change", () => guarded(mend));
by("save-manifest").addEventListener("click", () =>
  guarded(async () => {
    const answer = await ask({ ask: "seal" });
    save("nginx.manifest", bytesOf(answer.manifest));
    const missing = answer.uncovered.length ? ` Not covered: ${answer.uncovered.slice(0, 20).join("; ")}.` : "";
    by("sealed").textContent = `${count(answer.files, "file")} in nginx.manifest. Check it in the configuration's folder: sha256sum -c nginx.manifest.${missing}`;
  }),
);
by("choose-manifest").addEventListener("click", () => by("manifest").click());
by("manifest").addEventListener("change", () => {
  const [file] = by("manifest").files;
  by("manifest").value = "";
  guarded(async () => {
    refuseBySize([named(file)]);
    await compare({ name: file.name, text: await latinOf(file) });
  });
});
by("save-report").addEventListener("click", () =>
  guarded(async () => save("ws101-check.json", bytesOf((await ask({ ask: "report" })).report))),
);
by("print").addEventListener("click", () => window.print());

window.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "p") {
    event.preventDefault(); // the whole result, not what fits into the frame
    window.print();
  }
});
const folded = () => [...document.querySelectorAll("details:not([open])")];
let unfolded = [];
window.addEventListener("beforeprint", () => (unfolded = folded()).forEach((item) => (item.open = true)));
window.addEventListener("afterprint", () => unfolded.forEach((item) => (item.open = false)));
// The frame around takes what is dropped; a browser may leave out dragenter the second time.
for (const name of ["dragenter", "dragover"]) {
  window.addEventListener(name, (event) => {
    event.preventDefault();
    if ([...event.dataTransfer.types].includes("Files")) window.parent.postMessage({ dragging: true }, "*");
  });
}
window.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  take([...event.dataTransfer.files].map(named));
});
window.addEventListener("message", ({ data, source }) => {
  if (source !== window.parent) return;
  if (data.hello) greet();
  else if (data.parts && !begun) begin(data.parts);
  else if (data.files) take(data.files.found, data.files.troubles);
});

// The frame has to know how long this is, for printing.
new ResizeObserver(() => window.parent.postMessage({ height: document.documentElement.scrollHeight }, "*")).observe(document.body);

say("Starting Python in this browser; a few seconds…");
greet();
