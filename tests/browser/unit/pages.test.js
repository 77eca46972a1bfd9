import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const ASSETS = fileURLToPath(new URL("../../../assets/", import.meta.url));
const PAGES = { "index.html": "voter", "emcee.html": "emcee", "stage.html": "stage" };

/** Every module that a module loads, itself not counted. */
function modulesOf(file, seen = new Set()) {
  for (const [, target] of readFileSync(file, "utf8").matchAll(/^(?:import|export) [^;]*?from "([^"]+)";/gms)) {
    const path = normalize(join(dirname(file), target));
    if (seen.has(path)) continue;
    seen.add(path);
    modulesOf(path, seen);
  }
  return seen;
}

for (const [page, entry] of Object.entries(PAGES)) {
  const html = readFileSync(join(ASSETS, page), "utf8");

  test(`${page} asks for all its modules at once`, () => {
    const preloaded = [...html.matchAll(/modulepreload" href="([^"]+)"/g)].map(([, path]) => path).sort();
    const loaded = [...modulesOf(join(ASSETS, `js/${entry}.js`))].map((path) => `/assets/${relative(ASSETS, path)}`).sort();
    assert.deepEqual(preloaded, loaded);
  });

  test(`${page} has nothing inline and loads nothing from elsewhere`, () => {
    assert.doesNotMatch(html, /<style|style=|<script(?![^>]*src=)| on[a-z]+=|https?:|"\/\//);
  });

  test(`${page} names only files that exist`, () => {
    for (const [, path] of html.matchAll(/(?:src|href)="\/assets\/([^"]+)"/g)) assert.ok(readFileSync(join(ASSETS, path)), path);
  });
}

test("scripts never turn text into markup", () => {
  const files = Object.values(PAGES).flatMap((entry) => [join(ASSETS, `js/${entry}.js`), ...modulesOf(join(ASSETS, `js/${entry}.js`))]);
  for (const file of files) assert.doesNotMatch(readFileSync(file, "utf8"), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, file);
});

test("only one module uses the WebSocket", () => {
  const files = Object.values(PAGES).flatMap((entry) => [join(ASSETS, `js/${entry}.js`), ...modulesOf(join(ASSETS, `js/${entry}.js`))]);
  const users = new Set(files.filter((file) => /new WebSocket/.test(readFileSync(file, "utf8"))).map((file) => relative(ASSETS, file)));
  assert.deepEqual([...users], ["js/lib/socket.js"]);
});
