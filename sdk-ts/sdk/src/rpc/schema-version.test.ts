import { readFileSync } from "node:fs";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { QmtlError } from "./qmtl-error.ts";
import { negotiate, rebalanceRange, statedRange, type VersionRange } from "./schema-version.ts";

function refusal(run: () => unknown): QmtlError {
  try {
    run();
  } catch (failure) {
    if (failure instanceof QmtlError) return failure;
    throw failure;
  }
  throw new Error("nothing was refused");
}

const ranges: VersionRange[] = [1, 2, 3, 4].flatMap((min) =>
  [1, 2, 3, 4].filter((max) => max >= min).map((max) => ({ min, max })),
);

describe("negotiate", () => {
  const pairs = ranges.flatMap((asked) => ranges.map((supported) => ({ asked, supported })));

  test.each(pairs)(
    "$asked against $supported gives the highest common version or refuses",
    ({ asked, supported }) => {
      const common = [1, 2, 3, 4].filter(
        (v) => v >= asked.min && v <= asked.max && v >= supported.min && v <= supported.max,
      );
      const highest = common.at(-1);
      if (highest !== undefined) {
        expect(negotiate(asked, supported)).toBe(highest);
        return;
      }
      const error = refusal(() => negotiate(asked, supported));
      expect(error.reason).toBe("SCHEMA_VERSION_UNSUPPORTED");
      expect(error.metadata).toEqual({
        requested_min: String(asked.min),
        requested_max: String(asked.max),
        supported_min: String(supported.min),
        supported_max: String(supported.max),
      });
    },
  );

  test("nothing stated means version 1", () => {
    expect(negotiate(undefined, { min: 1, max: 3 })).toBe(1);
    expect(negotiate({}, { min: 1, max: 3 })).toBe(1);
    expect(refusal(() => negotiate(undefined, { min: 2, max: 3 })).reason).toBe(
      "SCHEMA_VERSION_UNSUPPORTED",
    );
  });

  test("an unset end takes the other: max is min, min is 1", () => {
    expect(statedRange({ min: 2 })).toEqual({ min: 2, max: 2 });
    expect(statedRange({ max: 3 })).toEqual({ min: 1, max: 3 });
  });

  test.each([
    [{ min: 0 }, ["schema_version.min", "schema_version.max"]],
    [{ max: 0 }, ["schema_version.max"]],
    [{ min: 0, max: 2 }, ["schema_version.min"]],
    [{ min: 3, max: 2 }, ["schema_version.max"]],
  ])("%o is no range, and the field is named", (stated, fields) => {
    const error = refusal(() => statedRange(stated));
    expect(error.reason).toBe("INVALID_FIELD");
    expect(error.fields.map(({ field }) => field)).toEqual(fields);
  });
});

interface VersionCase {
  id: string;
  compat_rebalance_v2: boolean;
  alpha_metrics_required: boolean;
  requested: number | null;
  startup_error?: boolean;
  status?: string;
  schema_version?: number | null;
}

const { cases }: { cases: VersionCase[] } = JSON.parse(
  readFileSync(new URL("../../../../e2e/vectors/version.json", import.meta.url), "utf8"),
);
const STATUS: Record<number, string> = {
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
};

describe("PlanRebalance, golden cases", () => {
  test.each(cases)("$id", (golden) => {
    const flags = {
      compatRebalanceV2: golden.compat_rebalance_v2,
      alphaMetricsRequired: golden.alpha_metrics_required,
    };
    if (golden.startup_error === true) {
      expect(refusal(() => rebalanceRange(flags)).reason).toBe("CONFIG_INVALID");
      return;
    }
    const supported = rebalanceRange(flags);
    const stated = golden.requested === null ? undefined : { min: 1, max: golden.requested };
    if (golden.status === "OK") expect(negotiate(stated, supported)).toBe(golden.schema_version);
    else expect(STATUS[refusal(() => negotiate(stated, supported)).code]).toBe(golden.status);
  });
});
