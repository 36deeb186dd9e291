import { accessSync, constants, existsSync, readFileSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { type Check, messageOf } from "./check.ts";

/** Less free space than this is reported. */
const freeBytesMin = 1024 ** 3;

/** Services that have a folder of their own, beside that of `qmtl up`, when each runs as a separate process. */
const services = ["gateway", "dag-manager", "world-service"] as const;

/**
 * Checks that the folders of embedded databases can be written, have room, and are not locked by another process: that
 * of `qmtl up`, and those that services in processes of their own have made. Changes nothing.
 *
 * @param isRunning whether a gateway answers
 */
export function checkDataFolders({ storage }: QmtlConfig, isRunning: boolean): Check[] {
  const common = storage.data_dir;
  const split = services
    .map((service) => ({ service, folder: `${common}-${service}` }))
    .filter(({ folder }) => isMade(folder));
  // The services behind a gateway may run before it does.
  const checks = split.map(({ service, folder }) =>
    checkFolder(`data folder of ${service}`, folder, service !== "gateway" || isRunning),
  );
  if (split.length > 0 && !isMade(common)) return checks;
  return [checkFolder("data folder", common, isRunning), ...checks];
}

function isMade(folder: string): boolean {
  return existsSync(join(folder, "pgdata"));
}

function checkFolder(name: string, folder: string, isRunning: boolean): Check {
  const holder = holderOf(folder);
  if (holder !== undefined && !isRunning) {
    const detail = `${folder} is locked by process ${holder}, but no gateway answers`;
    const fix = `wait until process ${holder} serves, or stop it; the lock of a dead process is taken over automatically`;
    return { name, status: "error", detail, fix };
  }
  const place = nearestFolder(folder);
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch (failure) {
    const fix = "set storage.data_dir to a folder that you may write";
    return { name, status: "error", detail: messageOf(failure), fix };
  }
  const { bavail, bsize } = statfsSync(place);
  const free = bavail * bsize;
  const room = `${(free / 1024 ** 3).toFixed(1)} GiB free`;
  if (free < freeBytesMin) {
    const fix = "free some space, or set storage.data_dir to a folder on another disk";
    return { name, status: "warning", detail: `${folder}: only ${room}`, fix };
  }
  const state = isMade(folder) ? "" : ", created at the first start";
  return { name, status: "ok", detail: `${folder}: ${room}${state}` };
}

/** Pid of the living process that locks the folder, whoever's it is; undefined when there is none. */
function holderOf(folder: string): number | undefined {
  let pid: number;
  try {
    ({ pid } = JSON.parse(readFileSync(join(folder, "lock"), "utf8")));
  } catch {
    return undefined;
  }
  try {
    process.kill(pid, 0);
    return pid;
  } catch (failure) {
    // EPERM: the process is there, but somebody else's.
    const isForeign = failure instanceof Error && "code" in failure && failure.code === "EPERM";
    return isForeign ? pid : undefined;
  }
}

function nearestFolder(folder: string): string {
  let at = folder;
  while (!existsSync(at) && at !== dirname(at)) at = dirname(at);
  return at;
}
