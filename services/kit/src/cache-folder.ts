import { homedir } from "node:os";
import { join } from "node:path";

/** The user's cache folder for QMTL: `$XDG_CACHE_HOME/qmtl`, else `~/.cache/qmtl`. Safe to delete. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME;
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "qmtl");
}
