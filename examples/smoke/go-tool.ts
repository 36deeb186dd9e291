import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cacheFolder } from "./cache-folder.ts";
import { isProgram, programOnPath } from "./program-on-path.ts";
import type { Tool } from "./suite-of-tool.ts";

/** The plugins that make the stubs in gen/go; the runtime that the stubs need is in gen/go/go.mod. */
const plugins = [
  {
    name: "protoc-gen-go",
    from: "google.golang.org/protobuf/cmd/protoc-gen-go",
    version: "1.36.12",
  },
  {
    name: "protoc-gen-go-grpc",
    from: "google.golang.org/grpc/cmd/protoc-gen-go-grpc",
    version: "1.6.2",
  },
] as const;
const modules = ["gen/go", "examples/go-client", "e2e/src/conformance/go"];
const root = fileURLToPath(new URL("../..", import.meta.url));
const stepMsMax = 600_000;

function pluginsFolder(): string {
  return join(cacheFolder(), `go-plugins-${plugins.map(({ version }) => version).join("-")}`);
}

const hasPlugins = (): boolean =>
  plugins.every(({ name }) => isProgram(join(pluginsFolder(), name)));

/** Go, with the plugins that make the stubs. */
export function goTool(): Tool {
  return {
    name: "Go with its protobuf plugins",
    program: hasPlugins() ? programOnPath("go") : undefined,
    isExpectedInCi: true,
  };
}

/** The environment in which `buf` finds the plugins, and Go takes no other version of itself. */
export function goEnvironment(): Readonly<Record<string, string>> {
  return {
    PATH: `${pluginsFolder()}${delimiter}${process.env.PATH}`,
    GOTOOLCHAIN: "local",
  };
}

/** Builds the plugins unless they are there, and fetches what the modules of this repository need. */
export async function setUpGo(): Promise<void> {
  const go = programOnPath("go");
  if (go === undefined) throw new Error("needs Go (go), of the version that gen/go/go.mod names");
  const env = { ...process.env, GOTOOLCHAIN: "local" };
  const run = (args: readonly string[], more: { cwd?: string; env?: NodeJS.ProcessEnv }) =>
    promisify(execFile)(go, args, { env, timeout: stepMsMax, ...more });
  for (const module of modules) await run(["mod", "download"], { cwd: join(root, module) });
  if (hasPlugins()) return;
  const folder = pluginsFolder();
  const unfinished = `${folder}.${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(unfinished, { recursive: true });
    for (const { from, version } of plugins)
      await run(["install", `${from}@v${version}`], { env: { ...env, GOBIN: unfinished } });
    await rename(unfinished, folder).catch((cause: unknown) => {
      if (!hasPlugins()) throw cause; // else another process was first
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}
