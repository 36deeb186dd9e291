import { ConnectError } from "@connectrpc/connect";
import { QmtlError, qmtlErrorFrom } from "@qmtl/sdk/rpc";
import { printJson, printTable } from "../print.ts";

/** `warning`: it works, or need not work yet, but somebody should know. `error`: broken. */
type CheckStatus = "ok" | "warning" | "error";

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

/** First line of a failure's message and of its cause; for a failed call, what the connection or server reported. */
export function messageOf(failure: unknown): string {
  if (failure instanceof ConnectError) return lineOf(qmtlErrorFrom(failure));
  if (failure instanceof QmtlError && failure.cause instanceof ConnectError) return lineOf(failure);
  const line = lineOf(failure);
  const cause = failure instanceof Error ? failure.cause : undefined;
  // Several addresses were tried, each with a failure of its own: the first one stands for all.
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  const why = first instanceof Error ? lineOf(first) : "";
  return why === "" || line.includes(why) ? line : `${line}: ${why}`;
}

function lineOf(failure: unknown): string {
  const message = failure instanceof Error ? failure.message : String(failure);
  return message.split("\n")[0] ?? message;
}
