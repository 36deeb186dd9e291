import { numbersFrom } from "./seeded-numbers.ts";

/** What the story does while the platform is about to die. */
export type Deed = "bar" | "apply" | "cancel" | "freeze" | "submit";

/** One death: at a failpoint, or after a random time. */
export interface Kill {
  readonly deed: Deed;
  /** Text of QMTL_FAILPOINT; undefined for a SIGKILL from outside. */
  readonly failpoint: string | undefined;
  /** Milliseconds from the start of the deed, for a SIGKILL from outside. */
  readonly afterMs: number;
}

const both = (...names: readonly string[]): string[] =>
  names.flatMap((name) => [`${name}.before_commit`, `${name}.after_commit`]);

/** Every failpoint of an apply and of an order, by the deed that reaches it. */
export const FAILPOINTS: Readonly<Record<Deed, readonly string[]>> = {
  submit: [...both("gw.submit", "gw.submission", "dag.diff")],
  apply: [
    ...both("w.apply", "w.switch", "w.unfreeze", "w.complete"),
    "gw.gate.after_commit",
    "gw.gate.after_commit:2",
    "gw.gate.after_commit:3",
  ],
  bar: [
    ...both("gw.order", "gw.fill", "paper.accept", "dag.publish"),
    "gw.order.before_commit:2",
    "gw.order.after_commit:2",
    "paper.accept.after_commit:2",
    "gw.publish.after_append",
    "dag.advance.before_commit",
  ],
  cancel: both("w.rollback"),
  freeze: both("w.freeze", "w.close", "w.remove_hold"),
};

/** Kills per story; the plan's order, apart from the first ones, is the seed's. */
export const KILLS_MAX = 60;

/**
 * Which deaths a story dies. Submissions come first, for they are made once; then failpoints are dealt in turn from a
 * shuffled deck, `offset` cards in, so that stories with consecutive offsets cover all of them; every fifth kill is random.
 */
export function planKills(seed: number, kills: number, offset: number): Kill[] {
  if (kills > KILLS_MAX) throw new RangeError(`${kills} kills are more than ${KILLS_MAX}`);
  const next = numbersFrom(seed);
  const submit = FAILPOINTS.submit;
  const submits = Math.min(2, kills);
  const planned: Kill[] = Array.from({ length: submits }, (_, k) => ({
    deed: "submit",
    failpoint: submit[(offset + k) % submit.length],
    afterMs: 0,
  }));
  const deck = (["apply", "bar", "cancel", "freeze"] as const).flatMap((deed) =>
    FAILPOINTS[deed].map((failpoint) => ({ deed, failpoint, afterMs: 0 })),
  );
  let card = offset;
  while (planned.length < kills) {
    if (planned.length % 5 === 4) {
      const deed = next() < 0.5 ? "bar" : "apply";
      planned.push({ deed, failpoint: undefined, afterMs: Math.floor(next() * 250) });
    } else {
      // 7 shares no factor with the deck's size: every card comes before any comes again.
      planned.push(deck[(card * 7) % deck.length]!);
      card += 1;
    }
  }
  return planned;
}
