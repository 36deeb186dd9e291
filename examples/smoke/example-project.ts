import { readFileSync } from "node:fs";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { commandsOf, parseCommandLine } from "./command-line.ts";
import { type Ended, type FollowedProcess, startProcess } from "./followed-process.ts";
import { freePorts } from "./free-ports.ts";

const examples = fileURLToPath(new URL("..", import.meta.url));
const repository = fileURLToPath(new URL("../..", import.meta.url));
const qmtl = join(repository, "cli", "bin", "qmtl.js");

/** A copy of an example in a temporary folder, where the commands of its README are typed. */
export interface ExampleProject extends AsyncDisposable {
  readonly folder: string;
  readonly gatewayUrl: string;
  readonly webUrl: string;
  /** Commands of the README that were not typed yet. */
  untyped(): string[];
  /** Types a command and waits for its end. @returns its standard output. Rejects unless its exit code is 0. */
  type(line: string): Promise<string>;
  /** Types a command that must fail. @returns its output and exit code */
  typeRefused(line: string): Promise<Ended>;
  /**
   * Types a command that keeps running, such as `npx qmtl up`; it ends with the project at the latest. `texts` maps
   * parts of the line to what replaces them here, such as a free port.
   */
  typeStaying(line: string, texts?: Readonly<Record<string, string>>): FollowedProcess;
}

/**
 * Copies `examples/<name>` with what it reads beside it, and finds free ports for its platform. `env` has additional
 * variables of the user's terminal.
 */
export async function openExample(
  name: string,
  env: Readonly<Record<string, string>> = {},
): Promise<ExampleProject> {
  const root = await mkdtemp(join(tmpdir(), "qmtl-example-"));
  const folder = join(root, "examples", name);
  const isState = (path: string): boolean => path.endsWith("/.qmtl");
  await cp(join(examples, name), folder, { recursive: true, filter: (path) => !isState(path) });
  await symlink(join(examples, "data"), join(root, "examples", "data"));
  await symlink(join(repository, "gen"), join(root, "gen"));
  await symlink(join(repository, "node_modules"), join(root, "node_modules"));
  const [gateway, web, dagManager, worldService] = await freePorts(4);
  const gatewayUrl = `http://127.0.0.1:${gateway}`;
  const terminal = {
    ...process.env,
    QMTL__GATEWAY__PORT: `${gateway}`,
    QMTL__GATEWAY__WEB_PORT: `${web}`,
    QMTL__DAG_MANAGER__PORT: `${dagManager}`,
    QMTL__WORLD_SERVICE__PORT: `${worldService}`,
    QMTL__SDK__GATEWAY_URL: gatewayUrl,
    ...env,
  };
  const untyped = commandsOf(readFileSync(join(examples, name, "README.md"), "utf8"));
  const staying: FollowedProcess[] = [];
  const start = (line: string, texts: Readonly<Record<string, string>> = {}): FollowedProcess => {
    const at = untyped.indexOf(line);
    if (at < 0) throw new Error(`README.md of ${name} has no such line left: ${line}`);
    untyped.splice(at, 1);
    let typed = line.replaceAll("127.0.0.1:7400", `127.0.0.1:${gateway}`);
    for (const [text, here] of Object.entries(texts)) typed = typed.replaceAll(text, here);
    const { env: own, words } = parseCommandLine(typed);
    return startProcess(programOf(words), { cwd: folder, env: { ...terminal, ...own } });
  };
  return {
    folder,
    gatewayUrl,
    webUrl: `http://127.0.0.1:${web}`,
    untyped: () => [...untyped],
    type: async (line) => {
      const { exitCode, stdout, stderr } = await start(line).ended;
      if (exitCode !== 0) throw new Error(`${line} ended with ${exitCode}: ${stderr || stdout}`);
      return stdout;
    },
    typeRefused: async (line) => {
      const ended = await start(line).ended;
      if (ended.exitCode === 0) throw new Error(`${line} was not refused: ${ended.stdout}`);
      return ended;
    },
    typeStaying: (line, texts) => {
      const started = start(line, texts);
      staying.push(started);
      return started;
    },
    [Symbol.asyncDispose]: async () => {
      for (const each of staying.toReversed()) await each.end();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** `npx` is left out: it takes half a second to find what is known here. */
function programOf(words: readonly string[]): readonly string[] {
  const [first, name = "", ...more] = words;
  if (first !== "npx") return words;
  // A platform lives for seconds here: optimising the database's WebAssembly costs more time than it saves.
  if (name === "qmtl") return [process.execPath, "--liftoff-only", qmtl, ...more];
  return [join(repository, "node_modules", ".bin", name), ...more];
}
