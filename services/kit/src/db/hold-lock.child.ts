// Takes the lock of a data folder, prints how that went, and runs until it is killed or its input ends.
import { writeSync } from "node:fs";
import { lockDataFolder } from "./data-folder-lock.ts";
import { DataFolderLocked } from "./db-errors.ts";

const [, , folder = ""] = process.argv;
try {
  lockDataFolder(folder);
  writeSync(1, "locked\n");
} catch (cause) {
  if (!(cause instanceof DataFolderLocked)) throw cause;
  writeSync(1, `refused ${cause.pid}\n`);
}
process.stdin.resume();
