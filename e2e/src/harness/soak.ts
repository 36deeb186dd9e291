// `npm run soak` (options: e2e/README.md): the crash stories, many of them. A process of its
// own, because packages of the workspace resolve to their sources under a condition only.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../crash/soak-main.ts", import.meta.url));
const args = ["--conditions=@qmtl/source", main, ...process.argv.slice(2)];
const child = spawn(process.execPath, args, { stdio: "inherit" });
child.once("exit", (code) => {
  process.exitCode = code ?? 1;
});
