/**
 * Timers of the order gate, in milliseconds, with their defaults and the rules between them.
 *
 * | timer              | paper   | live    | rule                                                     |
 * | ------------------ | ------- | ------- | -------------------------------------------------------- |
 * | leaseMs (= G)      | 10 000  | 5 000   | 1 000 … 30 000; live at most 5 000 unless signed for      |
 * | renewMs            | 2 000   | 1 000   | leaseMs ≥ 3·renewMs + marginMs                            |
 * | marginMs           | 1 000   | 500     | ≥ 0.02·leaseMs + emitMaxMs (1 % drift each side)          |
 * | emitMaxMs          | 300     | 300     | longest pause tolerated between gate check and write     |
 * | freezeTimeoutMs    | 30 000  | 30 000  | ≥ 2·leaseMs + switchAckMs                                 |
 * | switchAckMs        | 5 000   | 5 000   | wait for the ACKs of SWITCH                               |
 * | sessionDeadMs      | 4 000   | 2 000   | ≥ 2·renewMs and < switchAckMs                             |
 * | decisionTtlMs      | 300 000 | 300 000 | refreshed at half of it                                  |
 * | leaderMs           | 1 000   | 1 000   | the service's own leadership, renewed every 250 ms        |
 */
export interface GateTimers {
  /** How long the world's service counts a lease as possibly alive ("G"), from handling the request. */
  readonly leaseMs: number;
  /** How often a session renews. */
  readonly renewMs: number;
  /** What a session takes off the lease on its own clock. */
  readonly marginMs: number;
  /** Longest pause between gate check and write that is tolerated. */
  readonly emitMaxMs: number;
  /** From freeze commit to unfreeze commit. */
  readonly freezeTimeoutMs: number;
  /** Wait for ACKs of SWITCH. */
  readonly switchAckMs: number;
  /** No heartbeat for this long: the session is not live. Counts only where no lease can exist. */
  readonly sessionDeadMs: number;
  /** Time to live of a decision. */
  readonly decisionTtlMs: number;
  /** Leadership of the world's service in its database. */
  readonly leaderMs: number;
}

/** Defaults of a paper world. */
export const PAPER_TIMERS: GateTimers = {
  leaseMs: 10_000,
  renewMs: 2_000,
  marginMs: 1_000,
  emitMaxMs: 300,
  freezeTimeoutMs: 30_000,
  switchAckMs: 5_000,
  sessionDeadMs: 4_000,
  decisionTtlMs: 300_000,
  leaderMs: 1_000,
};

/** Defaults of a live world. */
export const LIVE_TIMERS: GateTimers = {
  ...PAPER_TIMERS,
  leaseMs: 5_000,
  renewMs: 1_000,
  marginMs: 500,
  sessionDeadMs: 2_000,
};

/** What a world adds to the rules. */
export interface TimerPolicy {
  /** The world may go live, so `leaseMs` is limited to 5 000. @default false */
  readonly isLive?: boolean;
  /** The operator signed for a live lease above 5 000. @default false */
  readonly isLongLiveLeaseSigned?: boolean;
}

/** A rule that a configuration breaks: the timer it is about, and a sentence with the numbers. */
export interface BrokenTimerRule {
  readonly timer: keyof GateTimers;
  readonly message: string;
}

/** The rules of the table that `timers` breaks; empty when the configuration may be used. */
export function checkTimers(timers: GateTimers, policy: TimerPolicy = {}): BrokenTimerRule[] {
  const broken: BrokenTimerRule[] = [];
  const require = (isKept: boolean, timer: keyof GateTimers, message: string): void => {
    if (!isKept) broken.push({ timer, message });
  };
  const names = Object.keys(PAPER_TIMERS) as (keyof GateTimers)[];
  for (const name of names) {
    const value = timers[name];
    require(Number.isFinite(value) && value > 0, name, `${name} must be above 0, is ${value}`);
  }
  const t = timers;
  const inRange = t.leaseMs >= 1_000 && t.leaseMs <= 30_000;
  require(inRange, "leaseMs", `leaseMs must be 1000 to 30000, is ${t.leaseMs}`);
  const liveOk = !policy.isLive || policy.isLongLiveLeaseSigned === true || t.leaseMs <= 5_000;
  require(liveOk, "leaseMs", `leaseMs of a live world must be at most 5000, is ${t.leaseMs}`);
  const leaseMin = 3 * t.renewMs + t.marginMs;
  require(t.leaseMs >=
    leaseMin, "renewMs", `leaseMs must be at least 3·renewMs + marginMs = ${leaseMin}`);
  const marginMin = 0.02 * t.leaseMs + t.emitMaxMs;
  require(t.marginMs >=
    marginMin, "marginMs", `marginMs must be at least 0.02·leaseMs + emitMaxMs = ${marginMin}`);
  const freezeMin = 2 * t.leaseMs + t.switchAckMs;
  require(t.freezeTimeoutMs >=
    freezeMin, "freezeTimeoutMs", `freezeTimeoutMs must be at least 2·leaseMs + switchAckMs = ${freezeMin}`);
  const deadOk = t.sessionDeadMs >= 2 * t.renewMs && t.sessionDeadMs < t.switchAckMs;
  require(deadOk, "sessionDeadMs", `sessionDeadMs must be at least 2·renewMs = ${2 * t.renewMs} and below switchAckMs = ${t.switchAckMs}`);
  return broken;
}
