import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** Enough to tell later whether this very process, not another with its pid, is still running. */
export interface ProcessIdentity {
  pid: number;
  /** Start time in the kernel's clock ticks since boot; "" where the system does not report it. */
  startTicks: string;
  /** Identifies one boot of one machine; "" where the system does not report it. */
  bootId: string;
  /** The namespace in which pids are counted (containers); "" where there is none. */
  pidSpace: string;
  host: string;
}

export type Liveness = "alive" | "dead" | "unknown";

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

/** Fields of /proc/PID/stat from the third on, after the command name, which may hold blanks; none if unreadable. */
function statOf(pid: number): readonly string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Field 22 of the file. */
const startTicksOf = (pid: number): string => statOf(pid)[19] ?? "";

/** True for a process that has ended and is kept until its parent asks how: maybe never, if that was killed, too. */
const isZombie = (pid: number): boolean => ["Z", "X"].includes(statOf(pid)[0] ?? "");

function pidSpaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return "";
  }
}

export function thisProcess(): ProcessIdentity {
  return {
    pid: process.pid,
    startTicks: startTicksOf(process.pid),
    bootId: read("/proc/sys/kernel/random/boot_id"),
    pidSpace: pidSpaceOf(process.pid),
    host: hostname(),
  };
}

/**
 * Whether the process still runs. "unknown" when it ran on another machine or in another container,
 * where nothing can be said from here.
 */
export function livenessOf(other: ProcessIdentity): Liveness {
  const self = thisProcess();
  if (other.bootId !== self.bootId) return other.host === self.host ? "dead" : "unknown";
  if (other.pidSpace !== self.pidSpace || other.host !== self.host) return "unknown";
  if (!isRunning(other.pid) || isZombie(other.pid)) return "dead";
  const startTicks = startTicksOf(other.pid);
  return startTicks === "" || startTicks === other.startTicks ? "alive" : "dead";
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    // EPERM: the process exists, but is another user's.
    return cause instanceof Error && "code" in cause && cause.code === "EPERM";
  }
}
