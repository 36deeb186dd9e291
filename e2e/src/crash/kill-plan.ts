import { numbersFrom } from "./seeded-numbers.ts";

/** What the driver does so that the platform dies: each deed is certain to pass its failpoints. */
export type Deed =
  | "apply"
  | "bar"
  | "cancel"
  | "change"
  | "freeze"
  | "lease"
  | "promote"
  | "refresh"
  | "rejoin"
  | "resume"
  | "submit"
  | "unbind";

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

/** Every failpoint of the platform, by the deed that reaches it. */
export const FAILPOINTS: Readonly<Record<Deed, readonly string[]>> = {
  apply: [
    ...both("w.apply", "w.switch", "w.unfreeze", "w.complete"),
    "gw.apply.after_contexts",
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
  change: both("w.change"),
  freeze: both("w.freeze", "w.close", "w.remove_hold"),
  lease: both("w.set_lease", "w.narrow_lease"),
  // Once per story: contexts are swapped only at the strategies' first promotion.
  promote: both("dag.swap"),
  refresh: both("w.refresh"),
  rejoin: both("w.emitters", "dag.lease"),
  // Recovery of a run that the previous death left in flight.
  resume: both("w.resume_run"),
  submit: both("gw.submit", "gw.submission", "dag.diff"),
  unbind: ["gw.unbind.after_removal", "gw.unbind.before_close"],
};

/** Kills per story. */
export const KILLS_MAX = 60;

const AFTER_MS_MAX = 250;

/**
 * Plans the deaths of a story. The first is in the promotion; the others come from a shuffled deck of all failpoints,
 * beginning at card `offset`, so that stories with consecutive offsets cover all of them; every fifth kill is random.
 */
export function planKills(seed: number, kills: number, offset: number): Kill[] {
  if (kills > KILLS_MAX) throw new RangeError(`${kills} kills are more than ${KILLS_MAX}`);
  const next = numbersFrom(seed);
  const deck = shuffledDeck();
  const promotions = FAILPOINTS.promote;
  const planned: Kill[] = [
    { deed: "promote", failpoint: promotions[seed % promotions.length], afterMs: 0 },
  ];
  let card = offset;
  while (planned.length < kills) {
    if (planned.length % 5 === 4) {
      planned.push(randomKill(next));
      continue;
    }
    planned.push(...(deck[card % deck.length] ?? []));
    card += 1;
  }
  return planned.slice(0, kills);
}

/**
 * A plan of deaths at these failpoints, in this order; `random` is a SIGKILL from outside.
 *
 * @throws {RangeError} for an unknown failpoint
 */
export function planPoints(seed: number, points: readonly string[]): Kill[] {
  const next = numbersFrom(seed);
  return points.map((point) => {
    if (point === "random") return randomKill(next);
    const deeds = Object.keys(FAILPOINTS) as Deed[];
    const deed = deeds.find((each) => FAILPOINTS[each].includes(point));
    if (deed === undefined) throw new RangeError(`no deed reaches ${point}`);
    return { deed, failpoint: point, afterMs: 0 };
  });
}

function randomKill(next: () => number): Kill {
  const deed = next() < 0.5 ? "bar" : "apply";
  return { deed, failpoint: undefined, afterMs: Math.floor(next() * AFTER_MS_MAX) };
}

/** The same deck for every seed. A card is one kill, or two where the second needs what the first leaves behind. */
function shuffledDeck(): Kill[][] {
  const kill = (deed: Deed, failpoint: string): Kill => ({ deed, failpoint, afterMs: 0 });
  const deeds = (Object.keys(FAILPOINTS) as Deed[]).filter((deed) => deed !== "promote");
  const cards = deeds.flatMap((deed) =>
    FAILPOINTS[deed].map((failpoint) =>
      deed === "resume"
        ? [kill("apply", "w.switch.before_commit"), kill(deed, failpoint)]
        : [kill(deed, failpoint)],
    ),
  );
  const next = numbersFrom(1);
  for (let k = cards.length - 1; k > 0; k--) {
    const at = Math.floor(next() * (k + 1));
    [cards[k], cards[at]] = [cards[at]!, cards[k]!];
  }
  return cards;
}
