// Two copies of @bufbuild/protobuf give type errors that do not show the cause, so there must be only one.
import { spawnSync } from "node:child_process";

const run = spawnSync("npm", ["ls", "@bufbuild/protobuf", "--all", "--json"], { encoding: "utf8" });
const versions = new Set(
  [...run.stdout.matchAll(/"@bufbuild\/protobuf":\s*\{\s*"version":\s*"([^"]+)"/g)].map(
    (match) => match[1],
  ),
);
if (versions.size !== 1) {
  console.error(`expected one @bufbuild/protobuf, found: ${[...versions].join(", ") || "none"}`);
  process.exit(1);
}
