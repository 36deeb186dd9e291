import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cacheFolder } from "./cache-folder.ts";
import { isProgram, programOnPath } from "./program-on-path.ts";
import type { Tool } from "./suite-of-tool.ts";

const requirements = ["../python-client/requirements.txt", "../python-node/requirements.txt"].map(
  (path) => fileURLToPath(new URL(path, import.meta.url)),
);
const installMsMax = 300_000;

/** Folder of the virtual environment with what the examples' `requirements.txt` files pin; named by their content. */
function venvFolder(): string {
  const pins = createHash("sha256");
  for (const file of requirements) pins.update(readFileSync(file));
  return join(cacheFolder(), `python-${pins.digest("hex").slice(0, 12)}`);
}

/** The Python of the virtual environment. */
export function pythonTool(): Tool {
  const program = join(venvFolder(), "bin", "python");
  return {
    name: "Python 3 with grpcio",
    program: isProgram(program) ? program : undefined,
    isExpectedInCi: true,
  };
}

/** What a terminal looks like after `source bin/activate`; leaves no byte code beside what is imported. */
export function pythonEnvironment(): Readonly<Record<string, string>> {
  return {
    PATH: `${join(venvFolder(), "bin")}${delimiter}${process.env.PATH}`,
    PYTHONDONTWRITEBYTECODE: "1",
  };
}

/** Folder with the wheels of all that is pinned, to install from without a registry. */
export function wheelsFolder(): string {
  return join(venvFolder(), "wheels");
}

/** Makes the virtual environment unless it exists. Wheels only: nothing is compiled. Safe in concurrent processes. */
export async function setUpPython(): Promise<void> {
  const folder = venvFolder();
  const program = join(folder, "bin", "python");
  if (isProgram(program)) return;
  const python = programOnPath("python3");
  if (python === undefined) throw new Error("needs Python 3.10 or later (python3), with venv");
  const run = promisify(execFile);
  const options = { timeout: installMsMax, maxBuffer: 16 * 1024 * 1024 };
  // Programs of an environment contain the path it was made at, and it is moved afterwards: call modules, not programs.
  const unfinished = `${folder}.${randomBytes(6).toString("hex")}`;
  try {
    await run(python, ["-m", "venv", unfinished], options);
    const made = join(unfinished, "bin", "python");
    const wheels = join(unfinished, "wheels");
    const pip = (...args: readonly string[]) =>
      run(
        made,
        ["-m", "pip", ...args, "--quiet", ...requirements.flatMap((file) => ["-r", file])],
        options,
      );
    await pip("download", "--only-binary", ":all:", "--dest", wheels);
    await pip("install", "--no-index", "--find-links", wheels);
    await rename(unfinished, folder).catch((cause: unknown) => {
      if (!isProgram(program)) throw cause; // else another process was first
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}
