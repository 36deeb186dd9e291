import { homedir } from "node:os";
import { join } from "node:path";

/**
 * The user's state folder for QMTL: `$XDG_STATE_HOME/qmtl`, else `~/.local/state/qmtl`; on Windows
 * `%LOCALAPPDATA%\qmtl`. Not in the cache, which may be deleted while services run, nor in a data folder, of which each
 * service has its own.
 */
export function stateFolder(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const named = process.platform === "win32" ? env.LOCALAPPDATA : env.XDG_STATE_HOME;
  if (named !== undefined && named !== "") return join(named, "qmtl");
  return join(homedir(), ".local", "state", "qmtl");
}
