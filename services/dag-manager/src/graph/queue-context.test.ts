import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { ComputeContextSchema, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { SourceCone } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { nodeContext, queueContext } from "./queue-context.ts";

interface DowngradeCase {
  readonly id: string;
  readonly name: string;
  readonly input: {
    readonly world_id?: string;
    readonly execution_domain?: string;
    readonly as_of?: string;
  };
  readonly expected: object;
}

const file = new URL("../../../../e2e/vectors/downgrade.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: DowngradeCase[] };

/**
 * Cases that the code deliberately does not follow: why, and what it does instead. It computes nothing in any of them:
 * it refuses a context that the vector lowers.
 */
const overridden: Readonly<Record<string, { because: string; instead: object }>> = {
  "downgrade-01": {
    because: "a context without a world is refused, CONTEXT_INCOMPLETE of its world_id",
    instead: { refused: "context.world_id" },
  },
  "downgrade-02": {
    because: "ADR 12: a source without data is refused in the domain that was asked for",
    instead: { execution_domain: "dryrun", downgraded: true, reason: "missing_as_of" },
  },
  "downgrade-08": {
    because:
      "an unspecified domain reads as backtest (execution.proto); what is refused is the data",
    instead: { execution_domain: "backtest", downgraded: true, reason: "missing_as_of" },
  },
  "downgrade-10": {
    because: "an unknown domain reads as backtest (execution.proto); what is refused is the data",
    instead: { execution_domain: "backtest", downgraded: true, reason: "missing_as_of" },
  },
};

/** A number that no version of the contract gives to a domain. */
const unknownDomain = 99 as ExecutionDomain;

/** A domain in the contract, which has a closed enum: any other text becomes an unknown number. */
function wireDomain(domain: string | undefined): ExecutionDomain {
  if (domain === undefined || domain === "default") return ExecutionDomain.UNSPECIFIED;
  const known = Object.entries(ExecutionDomain).find(([name]) => name === domain.toUpperCase());
  return known?.[1] ?? unknownDomain;
}

const readsBars: SourceCone = { sources: new Set(["bars"]), isOpen: false };

/** What becomes of a context whose node reads a source, in the words of the vectors. */
function read({ world_id = "", execution_domain, as_of = "" }: DowngradeCase["input"]): object {
  const executionDomain = wireDomain(execution_domain);
  const message = create(ComputeContextSchema, { worldId: world_id, executionDomain, asOf: as_of });
  let domain: string | undefined;
  try {
    const context = queueContext(message, "context");
    domain = context.domain;
    nodeContext(context, readsBars);
    return { execution_domain: domain, downgraded: false, reason: null, safe_mode: false };
  } catch (error) {
    if (!(error instanceof QmtlError) || error.reason !== "CONTEXT_INCOMPLETE") throw error;
    if (domain === undefined) return { refused: error.fields[0]?.field };
    expect(error.fields.map(({ field }) => field)).toEqual(["contexts.pins"]);
    return { execution_domain: domain, downgraded: true, reason: "missing_as_of", safe_mode: true };
  }
}

test.each(cases)("golden case $id: $name", ({ id, input, expected }) => {
  expect(read(input)).toMatchObject(overridden[id]?.instead ?? expected);
});

test("every exception is of a case that the running code does not follow", () => {
  for (const [id, { because }] of Object.entries(overridden)) {
    const { input, expected } = cases.find((one) => one.id === id)!;
    expect(read(input), because).not.toMatchObject(expected);
  }
});
