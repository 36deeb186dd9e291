import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { wheelsFolder } from "./python-venv.ts";

const contracts = fileURLToPath(new URL("../../gen/python", import.meta.url));
const stepMsMax = 300_000;

/** A fresh virtual environment in which only the wheel of the contracts, with what it needs, is installed. */
export interface WheelInstallation {
  /** Path of the wheel. */
  readonly wheel: string;
  /** Python of the environment. */
  readonly python: string;
  /** What a terminal looks like after `source .venv/bin/activate`. */
  readonly terminal: Readonly<Record<string, string>>;
}

/**
 * Builds the wheel of `gen/python` with `tools`, the Python that has what is pinned, and installs it in `folder` with
 * the types of what it needs and with what `more` names. From the pinned wheels alone: no registry is asked.
 */
export async function installWheel(
  tools: string,
  folder: string,
  more: readonly string[] = [],
): Promise<WheelInstallation> {
  const run = (program: string, ...args: readonly string[]) =>
    promisify(execFile)(program, args, { timeout: stepMsMax, maxBuffer: 16 * 1024 * 1024 });
  const out = join(folder, "dist");
  const building = ["--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", out];
  await run(tools, "-m", "pip", "wheel", "--quiet", ...building, contracts);
  const [name = ""] = await readdir(out);
  const wheel = join(out, name);
  await run(tools, "-m", "venv", join(folder, "venv"));
  const bin = join(folder, "venv", "bin");
  const python = join(bin, "python");
  const installing = ["--quiet", "--no-index", "--find-links", wheelsFolder()];
  await run(python, "-m", "pip", "install", ...installing, `${wheel}[types]`, ...more);
  const terminal = {
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    PYTHONDONTWRITEBYTECODE: "1",
  };
  return { wheel, python, terminal };
}

/** Errors that `mypy` of `tools` finds in a file, with the packages of another Python; "" if there are none. */
export async function typeFaults(
  tools: string,
  python: string,
  file: string,
  options: readonly string[],
): Promise<string> {
  const args = ["-m", "mypy", "--no-error-summary", "--python-executable", python];
  return promisify(execFile)(tools, [...args, ...options, file], { timeout: stepMsMax }).then(
    ({ stdout }) => stdout,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  );
}
