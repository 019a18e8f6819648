// Reads Sparkplug B payloads from standard input, each behind its length (4 bytes, big-endian), with
// the payload library of Eclipse Tahu, and prints them as one JSON array. Numbers of 64 bits are text,
// because JavaScript's own numbers do not hold them.
"use strict";
const path = require("node:path");
const { createRequire } = require("node:module");

const folder = process.env.CITYLAB_NODE_MODULES || path.join(__dirname, "..", "node_modules");
const { decodePayload } = createRequire(path.join(folder, "x.js"))("sparkplug-payload").get("spBv1.0");

function plain(key, value) {
  return value && typeof value === "object" && typeof value.toNumber === "function"
    ? value.toString()
    : value;
}

async function main() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const all = Buffer.concat(chunks);
  const found = [];
  for (let at = 0; at < all.length;) {
    const size = all.readUInt32BE(at);
    found.push(decodePayload(all.subarray(at + 4, at + 4 + size)));
    at += 4 + size;
  }
  process.stdout.write(JSON.stringify(found, plain));
}

main().catch((error) => { console.error(error); process.exit(1); });
