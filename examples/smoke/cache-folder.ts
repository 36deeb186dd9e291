import { homedir } from "node:os";
import { join } from "node:path";

/** The user's cache folder for QMTL, where `npm run services:setup` puts what the tests need. Safe to delete. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME;
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "qmtl");
}
