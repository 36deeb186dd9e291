import type { ChildProcess } from "node:child_process";

const children = new Set<ChildProcess>();

/** Kills a child when this process ends before it, by itself or by SIGTERM: an interrupted run leaves no process. */
export function endWithUs(child: ChildProcess): void {
  if (children.size === 0) {
    process.once("exit", killAll);
    process.once("SIGTERM", leave);
  }
  children.add(child);
  child.once("exit", () => {
    children.delete(child);
    if (children.size > 0) return;
    process.off("exit", killAll);
    process.off("SIGTERM", leave);
  });
}

function killAll(): void {
  for (const child of children) child.kill("SIGKILL");
}

function leave(): void {
  process.exit(143);
}
