// The worker: CPython in WebAssembly with ws101 in it.  It is built behind Pyodide's own two scripts in one text, so it
// loads nothing: what Pyodide would fetch is handed to it, and everything else is refused (by the browser as well).
"use strict";

let desk = null;
let add = null;

async function start(parts) {
  const home = "https://engine.invalid/";
  const [wasm, library, own] = await Promise.all([parts.wasm, parts.library, parts.own].map(unpacked));
  const held = { "pyodide.asm.wasm": [wasm, "application/wasm"], "python_stdlib.zip": [library, "application/zip"] };
  self.fetch = async (address) => {
    const found = held[String(address.url || address).replace(home, "")];
    if (!found) throw new TypeError("the page fetches nothing");
    return new Response(found[0], { headers: { "Content-Type": found[1] } });
  };
  const python = await self.loadPyodide({
    indexURL: home,
    createPyodideModule: self.createPyodideModule,
    lockFileContents: @lock@,
    packageBaseUrl: home,
    stdout: () => {},
    stderr: () => {},
  });
  python.FS.writeFile("@place@", new Uint8Array(own));
  python.runPython('import sys; sys.path.insert(0, "@place@")');
  desk = python.pyimport("ws101.page.questions").Desk();
  add = python.runPython("lambda desk, name, data: desk.add(name, data.to_bytes())");
}

// Every message has a number; its answer carries the same.
const deeds = {
  start: (message) => start(message.parts),
  drop: (message) => {
    for (const file of message.files) add(desk, file.name, file.data);
    const said = JSON.parse(desk.ask(JSON.stringify({ ask: "open" })));
    const contents = said.error ? [] : said.files.map((file) => desk.contents(file.name).toJs().slice().buffer);
    return { said, contents };
  },
  ask: (message) => JSON.parse(desk.ask(JSON.stringify(message.question))),
};

self.onmessage = async ({ data }) => {
  const began = performance.now();
  try {
    const answer = await deeds[data.deed](data);
    const moved = (answer && answer.contents) || [];
    self.postMessage({ number: data.number, answer, took: performance.now() - began }, moved);
  } catch (error) {
    self.postMessage({ number: data.number, failed: String(error && error.message ? error.message : error) });
  }
};
