// Parses what stdin holds, {"schema": ..., "what": ..., "json": ...} a line, with the schemas of
// Dust's official client. Ends with 1 when a schema is missing, refuses a line or got none.

"use strict";

const fs = require("node:fs");
const { createRequire } = require("node:module");
const path = require("node:path");

const NAMES = [
  "PostDataSourceDocumentRequestSchema",
  "UpsertDocumentResponseSchema",
  "CoreAPIDocumentSchema",
  "CoreAPILightDocumentSchema",
  "GetDocumentResponseSchema",
  "GetDocumentsResponseSchema",
  "DeleteDocumentResponseSchema",
  "APIErrorSchema",
];

// Version 1.2.8 defines all of these schemas and exports only some, so its file is run with the
// names handed out at the end.
function loadSchemas() {
  const folder = path.dirname(require.resolve("@dust-tt/client"));
  const file = path.join(folder, "client.cjs.development.js");
  const names = NAMES.map((name) => `${name}: typeof ${name} === "undefined" ? null : ${name}`);
  const source = `${fs.readFileSync(file, "utf8")}\nreturn {${names}};`;
  const module = { exports: {} };
  const run = new Function("require", "module", "exports", source);
  const schemas = run(createRequire(file), module, module.exports);
  // Every field of a request is optional: only a strict schema finds one that Dust does not know.
  schemas.PostDataSourceDocumentRequestSchema = schemas.PostDataSourceDocumentRequestSchema?.strict();
  return schemas;
}

const schemas = loadSchemas();
const parsed = Object.fromEntries(NAMES.map((name) => [name, 0]));
const failures = [];

for (const line of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const { schema, what, json } = JSON.parse(line);
  const result = schemas[schema]?.safeParse(json);
  if (result?.success) {
    parsed[schema] += 1;
  } else {
    const issues = result?.error.issues ?? [{ path: [], message: "there is no such schema" }];
    const reasons = issues.map((issue) => [...issue.path, issue.message].join(": "));
    failures.push(`${schema} refuses ${what}: ${reasons.join("; ")}`);
  }
}

for (const name of NAMES) {
  console.log(`${String(parsed[name]).padStart(5)} parsed by ${name}`);
  if (parsed[name] === 0) {
    failures.push(`${name} has parsed nothing`);
  }
}
if (failures.length > 0) {
  console.error(`FAILED:\n${failures.join("\n")}`);
  process.exitCode = 1;
}
