import { execFile } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const repository = fileURLToPath(new URL("../../../", import.meta.url));

const runFile = promisify(execFile);
const outputBytesMax = 1 << 24;

interface Manifest {
  readonly name: string;
  readonly version: string;
}

/** A packed workspace. */
interface PackedPackage extends Manifest {
  readonly tarball: string;
  /** Folder with what is in the tarball. */
  readonly contents: string;
}

/**
 * Packs the workspaces and installs the tarballs in `app`, as a user would: npm, with the third-party packages of its
 * cache, in the versions of the repository's lock. Where neither cache nor network has them, the repository's installed
 * ones are linked beside the packages instead.
 */
export async function installPacked(folder: string, app: string): Promise<void> {
  const out = join(folder, "packages");
  const script = join(repository, ".ci/pack.ts");
  await runFile(process.execPath, [script, "--js-only", "--out", out], {
    maxBuffer: outputBytesMax,
  });
  const packages = await packedIn(out);
  const manifest = {
    name: "packed-app",
    private: true,
    type: "module",
    dependencies: Object.fromEntries(packages.map((each) => [each.name, `file:${each.tarball}`])),
  };
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "package.json"), JSON.stringify(manifest));
  await writeFile(join(app, "package-lock.json"), JSON.stringify(await lockOf(manifest)));
  await writeFile(join(app, ".npmrc"), await readFile(join(repository, ".npmrc")));
  const flags = ["--prefer-offline", "--fetch-retries=0", "--ignore-scripts", "--omit=dev"];
  try {
    await runFile("npm", ["install", ...flags], {
      cwd: app,
      maxBuffer: outputBytesMax,
      shell: process.platform === "win32",
    });
  } catch (failure) {
    const [why] = String(failure)
      .split("\n")
      .filter((line) => line.includes("npm error"));
    process.stderr.write(
      `packed: npm cannot install (${why}); linking the repository's packages\n`,
    );
    await linkPackages(app, packages);
  }
}

/** The tarballs, with the name and version each holds. */
async function packedIn(out: string): Promise<PackedPackage[]> {
  const tarballs = (await readdir(out)).filter((name) => name.endsWith(".tgz"));
  const manifests = await readdir(join(out, "stage"), { recursive: true });
  const folders = manifests
    .filter((path) => /^[^/\\]+([/\\][^/\\]+)?[/\\]package\.json$/.test(path))
    .map((path) => join(out, "stage", dirname(path)));
  return Promise.all(
    folders.map(async (contents) => {
      const { name, version } = await readManifest(contents);
      const file = `${name.replace("@", "").replace("/", "-")}-${version}.tgz`;
      if (!tarballs.includes(file)) throw new Error(`no tarball of ${name} in ${out}`);
      return { name, version, contents, tarball: join(out, file) };
    }),
  );
}

async function readManifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
}

/** A lock file with the repository's third-party packages, so that npm need not look for versions. */
async function lockOf(manifest: object): Promise<object> {
  const lock: { packages: Record<string, { link?: boolean }> } = JSON.parse(
    await readFile(join(repository, "package-lock.json"), "utf8"),
  );
  const thirdParty = Object.entries(lock.packages).filter(
    ([path, entry]) => path.startsWith("node_modules/") && entry.link !== true,
  );
  const packages = { "": manifest, ...Object.fromEntries(thirdParty) };
  return { name: "packed-app", lockfileVersion: 3, requires: true, packages };
}

/** Without npm: the contents of the tarballs, and links to the third-party packages of the repository. */
async function linkPackages(app: string, packages: readonly PackedPackage[]): Promise<void> {
  const modules = join(app, "node_modules");
  await rm(modules, { recursive: true, force: true });
  const own = new Set(packages.map(({ name }) => name));
  for (const { name, contents } of packages) {
    await cp(contents, join(modules, name), { recursive: true });
  }
  // A package of the command alone may lie beside it instead of at the top.
  for (const from of [join(repository, "node_modules"), join(repository, "cli/node_modules")]) {
    for (const name of await packageNames(from)) {
      if (own.has(name)) continue;
      const place = join(
        from.includes("cli") ? join(modules, "qmtl-cli/node_modules") : modules,
        name,
      );
      await mkdir(dirname(place), { recursive: true });
      await symlink(join(from, name), place, "junction");
    }
  }
}

/** Names of the packages in a `node_modules` folder, scoped ones included. */
async function packageNames(modules: string): Promise<string[]> {
  const entries = await readdir(modules).catch(() => []);
  const names = await Promise.all(
    entries
      .filter((name) => !name.startsWith("."))
      .map(async (name) =>
        name.startsWith("@")
          ? (await readdir(join(modules, name))).map((inner) => `${name}/${inner}`)
          : [name],
      ),
  );
  return names.flat();
}
