import { elapsedMs, readingAt } from "@qmtl/core/gate";
import type { GateOverrides } from "./gate-overrides.ts";
import { productSession } from "./gate-overrides.ts";
import { mustAct } from "./gate-service-steps.ts";
import { modelSessionPorts } from "./gate-session-steps.ts";
import {
  type GateModelConfig,
  type ModelSession,
  type ModelState,
  type ModelStep,
  tickMs,
} from "./gate-world.ts";

/**
 * One tick of real time. Each session's clock either advances or slips, by at most `slip` ticks over anything it is
 * timing. No tick passes while WorldService has something to commit, nor while an order has used up the pause it is
 * allowed between check and write.
 */
export function timeSteps(
  x: ModelState,
  config: GateModelConfig,
  over: GateOverrides,
): ModelStep[] {
  const isStuck = x.sessions.some(
    (s, i) => s.order !== null && s.order.age >= (config.pause[i] ?? 0),
  );
  if (isStuck || mustAct(x, over)) return [];
  const isRunning = x.stored.run?.state === "FREEZING" || x.stored.run?.state === "SWITCHED";
  const t = x.t + 1;
  const remaining =
    x.machine?.decisionRemainingMs(t * tickMs) ?? x.stored.row.decision.expiresAtMs - t * tickMs;
  const isDecisionDead = x.isDecisionDead || (config.ttl > 0 && remaining <= 0);
  const runAge = x.machine !== null && isRunning ? x.runAge + 1 : x.runAge;
  const violation =
    runAge > 2 * config.lease ? `I3a: an apply still runs after ${runAge} ticks` : null;
  let variants: { label: string; sessions: ModelSession[] }[] = [{ label: "tick", sessions: [] }];
  x.sessions.forEach((s, slot) => {
    const next = [advance(s), slip(s, config.slip[slot] ?? 0)].filter((one) => one !== null);
    variants = variants.flatMap((v) =>
      next.map((one) => ({
        label: one.local > s.local ? v.label : `${v.label}, clock of S${slot + 1} slips`,
        sessions: [...v.sessions, expire(one, config, over)],
      })),
    );
  });
  return variants.map(({ label, sessions }) => ({
    label,
    next: { ...x, t, sessions, runAge, isDecisionDead },
    violation,
  }));
}

function advance(s: ModelSession): ModelSession {
  return older({ ...s, local: s.local + 1 });
}

function slip(s: ModelSession, slipMax: number): ModelSession | null {
  const isTiming = s.state.lease !== null || s.renew !== null || s.grant !== null;
  const worst = Math.max(
    s.state.lease === null ? 0 : s.leaseSlip,
    s.renew?.slip ?? 0,
    s.grant?.slip ?? 0,
  );
  if (!isTiming || worst + 1 > slipMax) return null;
  return older({
    ...s,
    leaseSlip: s.leaseSlip + 1,
    renew: s.renew && { ...s.renew, slip: s.renew.slip + 1 },
    grant: s.grant && { ...s.grant, slip: s.grant.slip + 1 },
  });
}

function older(s: ModelSession): ModelSession {
  return s.order === null ? s : { ...s, order: { ...s.order, age: Math.min(3, s.order.age + 1) } };
}

/** Lets the session see the time, and drops messages that are too old to have an effect. */
function expire(s: ModelSession, config: GateModelConfig, over: GateOverrides): ModelSession {
  const now = readingAt(s.local * tickMs);
  const step = over.session ?? productSession;
  const state = step(s.state, { kind: "tick", now }, modelSessionPorts).state;
  const usableMs = (config.lease - config.margin) * tickMs;
  const isUseless = (seq: number | undefined): boolean => {
    const sent = state.sent.find((one) => one.seq === seq);
    return sent === undefined || elapsedMs(sent.sentAt, now) >= usableMs;
  };
  const renew = isUseless(s.renew?.message.heartbeatSeq) ? null : s.renew;
  const grant = isUseless(s.grant?.message.heartbeatSeq) ? null : s.grant;
  const kept = new Set([renew?.message.heartbeatSeq, grant?.message.heartbeatSeq]);
  return {
    ...s,
    state: { ...state, sent: state.sent.filter((one) => kept.has(one.seq)) },
    renew,
    grant,
  };
}
