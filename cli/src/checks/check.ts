import { printJson, printTable } from "../print.ts";

/** `warning`: it works, or need not work yet, but somebody should know. `error`: broken. */
export type CheckStatus = "ok" | "warning" | "error";

/** What was looked at, and what was found. */
export interface Check {
  readonly name: string;
  readonly status: CheckStatus;
  readonly detail: string;
  /** What to do about it; absent where nothing is to be done. */
  readonly fix?: string;
}

/** True unless one of them is an error. */
export function isHealthy(checks: readonly Check[]): boolean {
  return checks.every((check) => check.status !== "error");
}

/** Prints checks as a table, and below it what to do; in JSON one object `{healthy, checks}`. */
export function printChecks(checks: readonly Check[], asJson: boolean): void {
  if (asJson) {
    printJson({ healthy: isHealthy(checks), checks });
    return;
  }
  printTable(
    ["check", "status", "found"],
    checks.map(({ name, status, detail }) => [name, status, detail]),
  );
  for (const { name, fix } of checks) if (fix !== undefined) console.log(`${name}: ${fix}`);
}

/** The first line of what went wrong. */
export function messageOf(failure: unknown): string {
  const message = failure instanceof Error ? failure.message : String(failure);
  return message.split("\n")[0] ?? message;
}
