// Reads an AsyncAPI document from standard input with the official parser, and prints as JSON what
// the parser has to say about it and what it found: {diagnostics, channels, operations, servers}.
"use strict";
const path = require("node:path");
const { createRequire } = require("node:module");

const folder = process.env.CITYLAB_NODE_MODULES || path.join(__dirname, "..", "node_modules");
const { Parser } = createRequire(path.join(folder, "x.js"))("@asyncapi/parser");

async function main() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const { document, diagnostics } = await new Parser().parse(Buffer.concat(chunks).toString("utf8"));
  const told = diagnostics.map(({ severity, code, message, path: place }) => (
    { severity, code, message, place: place.join(".") }));
  const found = { diagnostics: told };
  if (document) {
    found.version = document.version();
    found.channels = document.channels().all().map((each) => each.address());
    found.operations = document.operations().all().map((each) => (
      { id: each.id(), action: each.action(), channels: each.channels().all().map((c) => c.address()) }));
    found.servers = document.servers().all().map((each) => (
      { id: each.id(), url: each.url(), protocol: each.protocol() }));
  }
  process.stdout.write(JSON.stringify(found));
}

main().catch((error) => { console.error(error); process.exit(1); });
