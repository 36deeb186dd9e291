// Runs `qmtl` command lines one after another in this process, through the program's own entry: to start a process
// takes longer than a backtest. Arguments: the program, then `[{"cwd": …, "args": […]}, …]`. Prints one JSON line per
// command.
import { pathToFileURL } from "node:url";

interface Task {
  readonly cwd: string;
  readonly args: readonly string[];
}

const [program = "", tasks = "[]"] = process.argv.slice(2);
const write = process.stdout.write.bind(process.stdout);
let printed = "";
process.stdout.write = (chunk: string | Uint8Array): boolean => {
  printed += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString();
  return true;
};
for (const [k, { cwd, args }] of (JSON.parse(tasks) as Task[]).entries()) {
  printed = "";
  process.exitCode = 0;
  process.chdir(cwd);
  process.argv = [process.execPath, program, ...args];
  const { ended } = (await import(`${pathToFileURL(program).href}?${k}`)) as {
    ended: Promise<void>;
  };
  await ended;
  write(`${JSON.stringify({ exitCode: process.exitCode, printed })}\n`);
}
process.exitCode = 0;
