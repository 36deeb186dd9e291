import { Code } from "@connectrpc/connect";
import { QmtlError } from "@qmtl/sdk/rpc";
import { CommandRefused } from "../../../examples/demo/src/qmtl-command.ts";

/** The refusal of a call, as it came over the wire. */
export interface WireRefusal {
  /** Name of the gRPC status, such as "InvalidArgument". */
  readonly status: string;
  readonly reason: string;
  /** Fields of BadRequest. */
  readonly fields: readonly string[];
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The refusal of a call. Throws when the call succeeded, or failed otherwise. */
export async function refusalOf(call: Promise<unknown>): Promise<WireRefusal> {
  try {
    await call;
  } catch (failure) {
    if (!(failure instanceof QmtlError)) throw failure;
    const { code, reason, message, metadata } = failure;
    const fields = failure.fields.map(({ field }) => field);
    return { status: Code[code], reason, fields, message, metadata };
  }
  throw new Error("the call was not refused");
}

/** The refusal of a command: its exit code and the JSON it printed on standard error. */
export async function commandRefusal(
  command: Promise<unknown>,
): Promise<Readonly<Record<string, unknown>> & { readonly exitCode: number }> {
  try {
    await command;
  } catch (failure) {
    if (!(failure instanceof CommandRefused)) throw failure;
    const lines = failure.output.split("\n").filter((each) => each.startsWith("{"));
    const values = lines.map((each) => JSON.parse(each) as Record<string, unknown>);
    // Log lines have a level; the refusal has none.
    const refusal = values.find((each) => !("level" in each));
    if (refusal === undefined) throw failure;
    return { ...refusal, exitCode: failure.exitCode };
  }
  throw new Error("the command was not refused");
}
