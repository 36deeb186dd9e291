import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Path of a program in the folders of PATH; undefined when there is none. */
export function programOnPath(name: string): string | undefined {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isProgram);
}

/** Whether a path is a file that may be run. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
