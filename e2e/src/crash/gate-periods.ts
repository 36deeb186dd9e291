import type { AuditLine } from "./story-record.ts";

/** A time in which orders were permitted: fence, decision and strategies. */
export interface OpenPeriod {
  readonly fence: number;
  readonly fromMs: number;
  /** Time of the commit that shut the gate; infinite while it is open. */
  readonly toMs: number;
  /** The run whose plan was in force; empty before the first. */
  readonly runId: string;
  /** Strategies that may send orders. */
  readonly permitted: ReadonlySet<string>;
}

interface Plan {
  readonly runId: string;
  readonly target: string;
  readonly active: readonly string[];
}

/** Derives from the audit alone when the gate was open, and for which strategies. */
export function openPeriods(audit: readonly AuditLine[]): OpenPeriod[] {
  const periods: OpenPeriod[] = [];
  const plans = new Map<string, Plan>();
  const holds = new Set<string>();
  let inForce: Plan = { runId: "", target: "validate", active: [] };
  let open: Omit<OpenPeriod, "toMs"> | undefined;
  const shut = (line: AuditLine): void => {
    if (open !== undefined) periods.push({ ...open, toMs: line.timeMs });
    open = undefined;
  };
  const openAt = (line: AuditLine): void => {
    shut(line);
    const permitted = new Set(inForce.target === "paper" ? inForce.active : []);
    open = { fence: line.fence, fromMs: line.timeMs, runId: inForce.runId, permitted };
  };
  for (const line of audit) {
    const { run_id: runId, phase, hold } = line.body;
    if (line.entry === 1) openAt(line);
    else if (line.type === "frozen") {
      shut(line);
      holds.add(String(hold));
    } else if (line.type === "resumed") {
      holds.delete(String(hold));
      if (holds.size === 0) openAt(line);
    } else if (phase === "FREEZING") {
      shut(line);
      if (line.body.target !== undefined) plans.set(String(runId), planOf(line));
    } else if (phase === "UNFROZEN") {
      holds.delete("rollback");
      inForce = plans.get(String(runId)) ?? inForce;
      openAt(line);
    } else if (phase === "ROLLED_BACK") holds.add("rollback");
  }
  if (open !== undefined) periods.push({ ...open, toMs: Number.POSITIVE_INFINITY });
  return periods;
}

function planOf({ body }: AuditLine): Plan {
  const active = Array.isArray(body.active) ? body.active.map(String) : [];
  return { runId: String(body.run_id), target: String(body.target), active };
}
