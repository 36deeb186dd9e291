import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { TargetResend } from "./target-resend.ts";

function rig() {
  const clock = new ManualClock();
  let stated = 0;
  const resend: TargetResend = new TargetResend(clock, () => {
    stated++;
  });
  return { clock, resend, stated: () => stated };
}

test("a target that a router a moment behind refused is stated again, with growing waits", () => {
  const { clock, resend, stated } = rig();

  for (const waitMs of [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]) {
    const before = stated();
    resend.answered(["LEASE_MISSING"]);
    clock.advance(waitMs - 1);
    expect(stated()).toBe(before);
    clock.advance(1);
    expect(stated()).toBe(before + 1);
  }
});

test("once it was taken nothing is stated again, and the waits begin anew", () => {
  const { clock, resend, stated } = rig();
  resend.answered(["NOT_EMITTER"]);
  clock.advance(250);
  resend.answered(["NOT_EMITTER"]);

  resend.answered([]);

  expect(clock.timers).toBe(0);
  resend.answered(["GATE_SHUT", "OVER_LIMIT"]);
  clock.advance(250);
  expect(stated()).toBe(2);
});

test("what time does not mend is not asked again", () => {
  const { clock, resend } = rig();

  resend.answered(["OVER_LIMIT", "CONFIG_INVALID: no marks"]);

  expect(clock.timers).toBe(0);
});
