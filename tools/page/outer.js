// The frame around the page.  It shows nothing of what is dropped; it only does what the page inside may not:
// take a folder that is dropped, and hand a finished file to the browser's downloads.
"use strict";
delete window.RTCPeerConnection;
delete window.webkitRTCPeerConnection;

const frame = document.getElementById("page");
const target = document.getElementById("drop");
const LIMIT = 5000;
const tell = (message, moved = []) => frame.contentWindow.postMessage(message, "*", moved);

async function walk(handle, path, found) {
  if (found.length > LIMIT) return;
  if (handle.kind === "file") {
    found.push({ name: path, file: await handle.getFile() });
    return;
  }
  for await (const inner of handle.values()) await walk(inner, `${path}/${inner.name}`, found);
}

const once = (call) => new Promise((resolve, reject) => call(resolve, reject));

async function walkEntry(entry, path, found) {
  if (found.length > LIMIT) return;
  if (entry.isFile) {
    found.push({ name: path, file: await once((good, bad) => entry.file(good, bad)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await once((good, bad) => reader.readEntries(good, bad));
    if (!some.length) return;
    for (const inner of some) await walkEntry(inner, `${path}/${inner.name}`, found);
  }
}

// Chromium reads folders from file:// pages by handles alone, Firefox and Safari by entries alone.
async function taken(items) {
  const asked = items
    .filter((item) => item.kind === "file")
    .map((item) => {
      const entry = item.webkitGetAsEntry && item.webkitGetAsEntry();
      const handle = item.getAsFileSystemHandle && item.getAsFileSystemHandle();
      return { entry, handle, file: item.getAsFile() };
    });
  const found = [];
  const troubles = [];
  for (const { entry, handle, file } of asked) {
    try {
      const known = handle ? await handle.catch(() => null) : null;
      if (known) await walk(known, known.name, found);
      else if (entry && entry.isDirectory) await walkEntry(entry, entry.name, found);
      else if (file) found.push({ name: file.name, file });
    } catch (error) {
      troubles.push(`${entry ? entry.name : "a file"} could not be read (${error.name}); use “Choose a folder”`);
    }
  }
  return { found, troubles };
}

target.addEventListener("dragover", (event) => event.preventDefault());
target.addEventListener("dragleave", () => (target.hidden = true));
target.addEventListener("drop", async (event) => {
  event.preventDefault();
  target.hidden = true;
  tell({ files: await taken([...event.dataTransfer.items]) });
});

function save(name, bytes) {
  const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

window.addEventListener("message", ({ data, source }) => {
  if (source !== frame.contentWindow) return;
  if (data.ready) {
    const text = (id) => document.getElementById(id).textContent;
    tell({ parts: { script: text("script"), wasm: text("wasm"), library: text("library"), own: text("own") } });
  } else if (data.dragging) {
    target.hidden = false;
  } else if (data.height) {
    document.documentElement.style.setProperty("--height", `${Number(data.height) || 0}px`);
  } else if (data.save) {
    save(String(data.save.name), data.save.bytes);
  }
});

// Whichever of the two scripts runs first, the other one hears of it.
tell({ hello: true });
