// Runs dependency-cruiser over the sources and also fails when it saw too few of them: a tool that cruises
// nothing reports no violations.
import { spawnSync } from "node:child_process";

const roots = ["sdk-ts", "services", "cli", "examples", "e2e", "bench", "gen/ts/src"];
const tracked = spawnSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard", ...roots],
  { encoding: "utf8" },
)
  .stdout.split("\n")
  .filter((file) => file.endsWith(".ts") && !/(^|\/)fixtures\//.test(file));
const run = spawnSync("depcruise", ["--output-type", "json", ...roots], {
  encoding: "utf8",
  maxBuffer: 1 << 28,
});
if (!run.stdout) throw new Error(run.stderr);
const result = JSON.parse(run.stdout) as {
  modules: { source: string }[];
  summary: { violations: { rule: { name: string }; from: string; to: string }[] };
};
const cruised = new Set(result.modules.map((module) => module.source));
const seen = tracked.filter((file) => cruised.has(file)).length;
if (seen < tracked.length * 0.9) {
  console.error(`the import law saw only ${seen} of ${tracked.length} source files`);
  process.exit(1);
}
for (const violation of result.summary.violations) {
  console.error(`${violation.rule.name}: ${violation.from} -> ${violation.to}`);
}
if (result.summary.violations.length > 0) process.exit(1);
console.log(`${seen} of ${tracked.length} source files, no violation`);
