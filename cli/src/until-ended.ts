import type { Platform } from "@qmtl/embedded";
import { accountHeldRefusal } from "./account-held.ts";
import { ExitCode, exitCodeOf, RefusalError, reasonOf } from "./exit-codes.ts";
import { printNote } from "./print.ts";

/** Longest time from a fatal cause to the end of the process, milliseconds, even if some work never finishes. */
const endMsMax = 10_000;

/**
 * Waits until what runs here is asked to stop or cannot continue, then stops it.
 *
 * @throws why it could not continue. The process then ends within ten seconds, even if some work never finishes.
 */
export async function untilEnded(
  running: Pick<Platform, "lost" | "stop">,
  stopped: Promise<unknown>,
  asJson: boolean,
): Promise<void> {
  const cause = await Promise.race([stopped.then(() => undefined), running.lost]);
  if (cause === undefined) return running.stop();
  const refusal = refusalOf(cause);
  setTimeout(() => process.exit(exitCodeOf(refusal)), endMsMax).unref();
  await running.stop().catch((failure: unknown) => {
    printNote(`it did not stop cleanly: ${messageOf(failure)}`, asJson);
  });
  throw refusal;
}

/** Why a process could not continue, with what to do next. */
function refusalOf(cause: Error): unknown {
  const reason = reasonOf(cause);
  if (reason !== "DB_UNAVAILABLE") return accountHeldRefusal(cause);
  const hint = "start it again: everything that was stored is in the folder, nothing of it is lost";
  return new RefusalError(cause.message, ExitCode.unreachable, hint, reason);
}

function messageOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure);
}
