import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const repository = fileURLToPath(new URL("../..", import.meta.url));

export interface StubDrift {
  /** How many files the contracts generate. */
  readonly made: number;
  /** Committed files that differ from what the contracts generate, are missing, or should not exist. */
  readonly drifted: readonly string[];
}

/** Generates stubs into a temporary folder and compares them with those committed in `folder`, e.g. "gen/go/qmtl". */
export async function stubDrift(
  template: string,
  folder: string,
  env: Readonly<Record<string, string>>,
): Promise<StubDrift> {
  const fresh = await mkdtemp(join(tmpdir(), "qmtl-stubs-"));
  try {
    const text = await readFile(join(repository, template), "utf8");
    await promisify(execFile)(
      join(repository, "node_modules", ".bin", "buf"),
      ["generate", "--template", text.replaceAll(`out: ${folder}`, `out: ${fresh}`)],
      { cwd: repository, env: { ...process.env, ...env } },
    );
    const committed = join(repository, folder);
    const made = await filesUnder(fresh);
    const names = new Set([...made, ...(await filesUnder(committed))]);
    const drifted: string[] = [];
    for (const name of [...names].sort())
      if ((await textOf(fresh, name)) !== (await textOf(committed, name))) drifted.push(name);
    return { made: made.length, drifted };
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.parentPath.endsWith("__pycache__"))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

async function textOf(folder: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(folder, name), "utf8");
  } catch {
    return undefined;
  }
}
