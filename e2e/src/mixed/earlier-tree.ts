import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The first commit whose contracts are the v1 that is kept compatible. Its clients and services work together with
 * today's; it is moved forward only when a release ends that promise.
 */
const earlierCommit = "dff30d5c09e8922cfea4421e08a10fae9b0ceaf6";

const here = fileURLToPath(new URL("../../../", import.meta.url));

/** The repository as it was at that commit. */
export interface EarlierTree extends Disposable {
  readonly program: string;
  readonly modules: string;
}

/** Why there is no earlier tree; undefined where the history has it. */
export function whyNoEarlierTree(): string | undefined {
  try {
    execFileSync("git", ["cat-file", "-e", `${earlierCommit}^{commit}`], {
      cwd: here,
      stdio: "ignore",
    });
    return undefined;
  } catch {
    return "the history of this checkout does not reach back to it";
  }
}

/** Extracts it into a folder of its own, where it uses the third-party packages that are installed here. */
export function layOutEarlierTree(): EarlierTree {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-earlier-"));
  const archive = execFileSync("git", ["archive", earlierCommit], {
    cwd: here,
    maxBuffer: 1 << 29,
  });
  execFileSync("tar", ["-x", "-C", folder], { input: archive });
  const modules = join(folder, "node_modules");
  mkdirSync(join(modules, "@qmtl"), { recursive: true });
  const { workspaces = [] } = packageOf(folder);
  const own = new Map(
    workspaces
      .filter((place) => !place.includes("*"))
      .map((place) => [packageOf(join(folder, place)).name, join(folder, place)]),
  );
  for (const [name, place] of own) symlinkSync(place, join(modules, name));
  for (const name of readdirSync(join(here, "node_modules"))) {
    if (name !== "@qmtl" && !own.has(name)) {
      symlinkSync(join(here, "node_modules", name), join(modules, name));
    }
  }
  return {
    program: join(folder, "cli/bin/qmtl.js"),
    modules,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

interface Package {
  readonly name: string;
  readonly workspaces?: readonly string[];
}

function packageOf(folder: string): Package {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Package;
}
