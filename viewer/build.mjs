// Bundles the page's source into src/lyra/viewer/assets; called by scripts/build_viewer.sh.

import { createHash } from "node:crypto";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { build, transform, version } from "esbuild";

const source = new URL("./src/", import.meta.url);
const assets = new URL("../src/lyra/viewer/assets/", import.meta.url);

// Browsers that have DecompressionStream and WebGL2 know all of this.
const target = ["chrome103", "firefox113", "safari16.4"];
const script = await build({
  entryPoints: ["src/main.ts"],
  absWorkingDir: new URL(".", import.meta.url).pathname,
  bundle: true,
  minify: true,
  format: "iife",
  charset: "utf8",
  legalComments: "none",
  target,
  write: false,
});
const style = await transform(await readFile(new URL("style.css", source), "utf8"), { loader: "css", minify: true, target });

await writeFile(new URL("viewer.js", assets), script.outputFiles[0].text.trim() + "\n");
await writeFile(new URL("viewer.css", assets), style.code.trim() + "\n");
await writeFile(new URL("page.html", assets), await readFile(new URL("page.html", source)));

const files = (await readdir(source)).sort();
const digests = await Promise.all(
  files.map(async (name) => [name, createHash("sha256").update(await readFile(new URL(name, source))).digest("hex")]),
);
const record = { esbuild: version, source: Object.fromEntries(digests) };
await writeFile(new URL("build.json", assets), JSON.stringify(record, null, 1) + "\n");
