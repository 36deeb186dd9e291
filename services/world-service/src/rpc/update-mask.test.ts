import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  DemotePolicy,
  LeaseLostPolicy,
  WorldClock,
  WorldSchema,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { WorldSettings } from "../store/world-rows.ts";
import { settingsChange } from "./update-mask.ts";

const before: WorldSettings = {
  worldId: "w",
  displayName: "Before",
  clock: "replay",
  source: "spx",
  accountId: "main",
  allowLive: true,
  maxLagSeconds: 60,
  decisionTtlSeconds: 20,
  onDemote: "keep",
  onLeaseLost: "flatten",
  reduceOnlyWhenShut: true,
  cancelProtective: true,
  paperTimers: { leaseMs: 9_000, marginMs: 800 },
  liveTimers: { leaseMs: 4_000 },
};

/** Every field of a world a client may set, with another value than before, and what then changes. */
const CHANGES = [
  [{ displayName: "After" }, { displayName: "After" }, "display_name"],
  [{ accountId: "spare" }, { accountId: "spare" }, "account_id"],
  [{ maxLag: durationFromMs(1_500) }, { maxLagSeconds: 1.5 }, "max_lag"],
  [{ decisionTtl: durationFromMs(9_000) }, { decisionTtlSeconds: 9 }, "decision_ttl"],
  [{ onDemote: DemotePolicy.FLAT }, { onDemote: "flat" }, "on_demote"],
  [{ onLeaseLost: LeaseLostPolicy.HOLD }, { onLeaseLost: "hold" }, "on_lease_lost"],
  [
    { paperTimers: { lease: durationFromMs(5_000) } },
    { paperTimers: { leaseMs: 5_000, marginMs: 800 } },
    "paper_timers.lease",
  ],
  [
    { liveTimers: { switchAck: durationFromMs(2_000) } },
    { liveTimers: { leaseMs: 4_000, switchAckMs: 2_000 } },
    "live_timers.switch_ack",
  ],
] as const;

const world = (init: object) => create(WorldSchema, { worldId: "w", ...init });

function refusedField(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (failure) {
    if (failure instanceof QmtlError && failure.reason === "INVALID_FIELD") {
      return failure.fields[0]?.field;
    }
    throw failure;
  }
}

describe("without a mask", () => {
  test("the fields that are set change, whichever they are, and nothing else does", () => {
    fc.assert(
      fc.property(fc.subarray([...CHANGES]), (chosen) => {
        const asked = world(Object.assign({}, ...chosen.map(([init]) => init)));
        const after = Object.assign({}, before, ...chosen.map(([, changed]) => changed));
        expect(settingsChange(asked, [])(before)).toEqual(after);
      }),
    );
  });

  test("a world with its id alone changes nothing: what a client does not know stays", () => {
    expect(settingsChange(world({}), [])(before)).toEqual(before);
  });

  test("what is read and sent back as it is changes nothing", () => {
    const asked = world({ clock: WorldClock.REPLAY, source: "spx", allocation: 0.5, etag: "x" });
    expect(settingsChange(asked, [])(before)).toEqual(before);
  });
});

describe("with a mask", () => {
  test("only what it names changes, whatever else is set", () => {
    const all = world(Object.assign({}, ...CHANGES.map(([init]) => init)));
    for (const [, changed, path] of CHANGES) {
      expect(settingsChange(all, [path])(before)).toEqual({ ...before, ...changed });
    }
  });

  test("what it names and the world does not set goes back to its default", () => {
    const clear = (...paths: string[]) => settingsChange(world({}), paths)(before);
    expect(clear("display_name", "account_id", "allow_live", "cancel_protective")).toEqual({
      ...before,
      displayName: "",
      accountId: "",
      allowLive: false,
      cancelProtective: false,
    });
    expect(clear("max_lag", "decision_ttl", "on_demote", "on_lease_lost")).toEqual({
      ...before,
      maxLagSeconds: 604_800,
      decisionTtlSeconds: 300,
      onDemote: "flat",
      onLeaseLost: "cancel_opening",
    });
    expect(clear("paper_timers.lease").paperTimers).toEqual({ marginMs: 800 });
    expect(clear("paper_timers").paperTimers).toEqual({});
  });

  test("output-only fields, the id and the etag are passed over", () => {
    const paths = ["world_id", "etag", "allocation", "policy_version", "create_time"];
    expect(settingsChange(world({ allocation: 0.9, policyVersion: 7 }), paths)(before)).toEqual(
      before,
    );
  });

  test("* and what is no field are refused", () => {
    for (const path of [
      "*",
      "",
      "displayName",
      "paper_timers.hurry",
      "paper_timers.lease.seconds",
    ]) {
      expect(refusedField(() => settingsChange(world({}), [path]))).toBe("update_mask");
    }
  });
});

test("a clock or a source that differs is refused; the same one is no change", () => {
  const change = (init: object, paths: string[] = []) =>
    refusedField(() => settingsChange(world(init), paths)(before));
  expect(change({ clock: WorldClock.WALL })).toBe("world.clock");
  expect(change({ source: "ndx" })).toBe("world.source");
  expect(change({}, ["clock"])).toBe("world.clock");
  expect(change({}, ["source"])).toBe("world.source");
  expect(change({ clock: WorldClock.REPLAY, source: "spx" }, ["clock", "source"])).toBeUndefined();
});
