// Generates into a temporary folder and compares it with what is committed, file by file.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const filesUnder = (root: string): string[] =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();

const fresh = mkdtempSync(join(tmpdir(), "qmtl-gen-"));
try {
  const template = readFileSync("buf.gen.yaml", "utf8").replace("out: gen/ts/src", `out: ${fresh}`);
  const run = spawnSync("buf", ["generate", "--template", template], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(run.stderr);
  const committed = "gen/ts/src";
  const names = new Set([...filesUnder(fresh), ...filesUnder(committed)]);
  const read = (root: string, name: string): string | undefined => {
    try {
      return readFileSync(join(root, name), "utf8");
    } catch {
      return undefined;
    }
  };
  const drifted = [...names].filter((name) => read(fresh, name) !== read(committed, name));
  if (drifted.length > 0) {
    console.error(
      `gen/ts/src is not what proto/ generates; run \`npm run gen\`:\n  ${drifted.join("\n  ")}`,
    );
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
