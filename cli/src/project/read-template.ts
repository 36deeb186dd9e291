import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";

/** A file of a project that is still to be written. */
export interface ScaffoldFile {
  /** Path within the project, with `/` between its parts. */
  readonly path: string;
  readonly text: string;
}

/** The relative path is the same from `src/` and from `dist/`. */
const templatesFolder = fileURLToPath(new URL("../../templates/", import.meta.url));

/**
 * Files of a folder under `templates/`, by path, in order.
 *
 * `gitignore` becomes `.gitignore`: npm leaves a file of that name out of packages.
 *
 * @param folder such as `strategies/branching`
 */
export function readTemplateFolder(folder: string): ScaffoldFile[] {
  const root = join(templatesFolder, folder);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const file = join(entry.parentPath, entry.name);
      const path = file.slice(root.length + 1).replaceAll("\\", "/");
      return { path: named(path), text: readFileSync(file, "utf8") };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** One file under `templates/`, with the path it gets in the project. */
export function readTemplateFile(file: string, path: string): ScaffoldFile {
  return { path, text: readFileSync(join(templatesFolder, file), "utf8") };
}

function named(path: string): string {
  const { dir, base } = posix.parse(path);
  return base === "gitignore" ? posix.join(dir, ".gitignore") : path;
}
