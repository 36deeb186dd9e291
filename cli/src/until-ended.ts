import type { Platform } from "@qmtl/embedded";
import { accountHeldRefusal } from "./account-held.ts";
import { CommandError, ExitCode, exitCodeOf, RefusalError, reasonOf } from "./exit-codes.ts";
import { printNote } from "./print.ts";

/** Longest time from a fatal cause to the end of the process, milliseconds, even if some work never finishes. */
const endMsMax = 10_000;
/** The same from a signal that asks for an end. */
const stopMsMax = 20_000;
/** Time for what is left once everything has stopped, milliseconds: work that was abandoned ends with the process. */
const leftMsMax = 1_000;

/**
 * Waits until what runs here is asked to stop or cannot continue, then stops it. The process ends within twenty seconds
 * then, even if some work never finishes, and with 1 if that is why.
 *
 * @throws {CommandError} why it did not stop as asked
 * @throws why it could not continue. The process then ends within ten seconds.
 */
export async function untilEnded(
  running: Pick<Platform, "lost" | "stop">,
  stopped: Promise<unknown>,
  asJson: boolean,
): Promise<void> {
  const cause = await Promise.race([stopped.then(() => undefined), running.lost]);
  if (cause === undefined) return stopAsAsked(running, asJson);
  const refusal = refusalOf(cause);
  setTimeout(() => process.exit(exitCodeOf(refusal)), endMsMax).unref();
  await running.stop().catch((failure: unknown) => {
    printNote(`it did not stop cleanly: ${messageOf(failure)}`, asJson);
  });
  throw refusal;
}

async function stopAsAsked(running: Pick<Platform, "stop">, asJson: boolean): Promise<void> {
  const timer = setTimeout(() => {
    const seconds = stopMsMax / 1_000;
    printNote(
      `it did not stop within ${seconds} s and is ended; the log says what is lost`,
      asJson,
    );
    process.exit(ExitCode.refused);
  }, stopMsMax);
  timer.unref();
  try {
    await running.stop();
  } catch (failure) {
    throw new CommandError(`it did not stop cleanly: ${messageOf(failure)}`, ExitCode.refused);
  } finally {
    clearTimeout(timer);
    setTimeout(() => process.exit(), leftMsMax).unref();
  }
}

/** Why a process could not continue, with what to do next. */
function refusalOf(cause: Error): unknown {
  const reason = reasonOf(cause);
  if (reason !== "DB_UNAVAILABLE") return accountHeldRefusal(cause);
  const hint = "start it again: everything that was stored is in the folder, nothing of it is lost";
  return new RefusalError(cause.message, ExitCode.unreachable, hint, reason);
}

/** What failed; where several things did, each, in the order in which they did. */
function messageOf(failure: unknown): string {
  if (failure instanceof SuppressedError) {
    return `${messageOf(failure.suppressed)}; ${messageOf(failure.error)}`;
  }
  return failure instanceof Error ? failure.message : String(failure);
}
