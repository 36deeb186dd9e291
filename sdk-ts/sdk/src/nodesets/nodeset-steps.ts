/** A step after the target, as `describe()` lists it. */
export interface NodesetStep {
  /** Which step. */
  readonly name: StepName;
  /** False: the step is in its place and passes everything through. */
  readonly acts: boolean;
  /** What it does, one sentence. */
  readonly detail: string;
}

/** A step after the target. */
export type StepName =
  | "pretrade"
  | "sizing"
  | "execution"
  | "publish"
  | "fills"
  | "portfolio"
  | "risk"
  | "timing";

/** The steps of an intent-first set in their order. They run in the order router, for one strategy alone. */
export function intentFirstSteps(
  sizingDetail: string,
  executionDetail: string,
): readonly NodesetStep[] {
  return [
    {
      name: "pretrade",
      acts: true,
      detail: "opening orders over the account's limits are refused; with no limits set all pass",
    },
    { name: "sizing", acts: true, detail: sizingDetail },
    { name: "execution", acts: true, detail: executionDetail },
    {
      name: "publish",
      acts: true,
      detail: "orders leave through the order router: simulated offline, gated online",
    },
    { name: "fills", acts: true, detail: "each execution is booked once" },
    { name: "portfolio", acts: true, detail: "cash, lots and realised P&L per strategy" },
    { name: "risk", acts: false, detail: "passes everything through: no risk control is set" },
    { name: "timing", acts: false, detail: "passes everything through: no market hours are set" },
  ];
}
