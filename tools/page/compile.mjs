// node compile.mjs PYODIDE LIBRARY IN OUT WHERE: the modules of a zip archive, compiled by the Python that will run them,
// so that the page need not.  PYODIDE is the folder with Pyodide's files, LIBRARY its standard library (which makes it
// start far sooner once that is compiled), WHERE the name under which the archive will lie.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, library, from, to, where] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(path.resolve(folder, "pyodide.mjs")));
const python = await loadPyodide({ indexURL: `${path.resolve(folder)}/`, stdLibURL: path.resolve(library) });
python.FS.writeFile("/in.zip", fs.readFileSync(from));
python.globals.set("where", where);
python.runPython(`
import marshal, zipfile
from importlib.util import MAGIC_NUMBER

UNCHECKED = (1).to_bytes(4, "little")  # PEP 552: by hash, never compared with a source
with zipfile.ZipFile("/in.zip") as given, zipfile.ZipFile("/out.zip", "w") as made:
    for name in sorted(given.namelist()):
        data = given.read(name)
        if name.endswith(".py"):
            code = compile(data, f"{where}/{name}", "exec", dont_inherit=True)
            name, data = f"{name}c", MAGIC_NUMBER + UNCHECKED + bytes(8) + marshal.dumps(code)
        made.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
`);
fs.writeFileSync(to, python.FS.readFile("/out.zip"));
