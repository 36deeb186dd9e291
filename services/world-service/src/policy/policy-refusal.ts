import { QmtlError } from "@qmtl/sdk/rpc";
import { parsePolicy } from "./parse-policy.ts";
import type { Policy } from "./policy.ts";
import { PolicyError } from "./policy-problem.ts";

/** Reads a policy as it came over the wire. @throws {QmtlError} with line and column of every problem */
export function readPolicyDocument(document: string): Policy {
  try {
    return parsePolicy(document);
  } catch (error) {
    throw policyRefusal(error);
  }
}

/** Converts a refused document into the error that the caller gets; any other error is returned as it is. */
export function policyRefusal(error: unknown): unknown {
  if (!(error instanceof PolicyError)) return error;
  const [first] = error.problems;
  return new QmtlError(first?.reason ?? "POLICY_INVALID", error.message, {
    metadata: { line: String(first?.line ?? 1), column: String(first?.column ?? 1) },
    fields: error.problems.map((p) => ({
      field: `document:${p.line}:${p.column}${p.path === "" ? "" : ` ${p.path}`}`,
      description: `${p.reason}: ${p.message}`,
    })),
  });
}

/** The refusal for a version that does not exist; 0 stands for "no policy at all". */
export function policyNotFound(worldId: string, version: number): QmtlError {
  const what = version === 0 ? "no policy" : `no policy version ${version}`;
  return new QmtlError("POLICY_NOT_FOUND", `world ${worldId} has ${what}`, {
    metadata: { world_id: worldId },
  });
}
