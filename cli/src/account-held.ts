import { QmtlError } from "@qmtl/sdk/errors";
import { ExitCode, RefusalError } from "./exit-codes.ts";

/** Turns NOT_LEADER (another gateway holds the accounts) into a refusal with a hint; passes on other failures. */
export function accountHeldRefusal(failure: unknown): unknown {
  if (!(failure instanceof QmtlError) || failure.reason !== "NOT_LEADER") return failure;
  const hint = "stop that process first, or start this one with --standby: it takes over by itself";
  return new RefusalError(failure.message, ExitCode.refused, hint, failure.reason);
}
