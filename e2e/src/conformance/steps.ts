import { readFileSync } from "node:fs";
import type { Call, ConformanceClient, Outcome } from "./outcome.ts";

/** One entry of `steps.json`, with exactly one of `answer` and `refusal`. */
export interface Step {
  readonly name: string;
  readonly method: string;
  readonly as?: "operator" | "viewer" | "nobody";
  readonly request: unknown;
  /** True when the request is not valid JSON of the contract: a client may refuse to send it. */
  readonly isRaw?: boolean;
  readonly isStream?: boolean;
  /** Expected values of the answer by path; `/…/` is a pattern. */
  readonly answer?: Readonly<Record<string, string | number | boolean>>;
  readonly refusal?: {
    readonly status: string;
    readonly reason?: string;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly fields?: readonly string[];
  };
  /** Path in the answer, by the name under which later steps use its value as `${name}`. */
  readonly save?: Readonly<Record<string, string>>;
}

/** Values of `${name}`. */
export type Names = Map<string, string>;

/** Reads `steps.json`. */
export function readSteps(): Step[] {
  const text = readFileSync(new URL("steps.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { steps: Step[] }).steps;
}

/** Makes the call of a step, checks its outcome, saves what later steps need. Gives the faults, none if it passed. */
export async function takeStep(
  client: ConformanceClient,
  step: Step,
  names: Names,
  keys: Readonly<Record<string, string>>,
): Promise<string[]> {
  const call: Call = {
    method: step.method,
    request: filled(step.request, names),
    key: keys[step.as ?? "operator"] ?? "",
    isStream: step.isStream === true,
  };
  const outcome = await client.call(call);
  for (const [name, path] of Object.entries(step.save ?? {})) {
    const value = "answer" in outcome ? at(outcome.answer, path) : undefined;
    if (typeof value === "string") names.set(name, value);
  }
  return faultsOf(step, outcome, names);
}

function faultsOf(step: Step, outcome: Outcome, names: Names): string[] {
  if (outcome.status === "NOT_SENT" && step.isRaw === true) return [];
  const { answer, refusal } = step;
  if (refusal === undefined) {
    if (!("answer" in outcome)) return [`was refused: ${JSON.stringify(outcome)}`];
    return Object.entries(answer ?? {}).flatMap(([path, wanted]) => {
      const found = at(outcome.answer, path);
      return isAs(found, filled(wanted, names)) ? [] : [`${path} is ${JSON.stringify(found)}`];
    });
  }
  if (!("reason" in outcome)) return [`was not refused: ${JSON.stringify(outcome)}`];
  const { status, reason = outcome.reason, metadata = {}, fields = [] } = refusal;
  return [
    ...(outcome.status === status ? [] : [`status is ${outcome.status}`]),
    ...(outcome.reason === reason ? [] : [`reason is ${outcome.reason}`]),
    ...Object.entries(metadata)
      .filter(([name, value]) => outcome.metadata[name] !== value)
      .map(([name]) => `metadata ${name} is ${outcome.metadata[name]}`),
    ...fields
      .filter((field) => !outcome.fields.includes(field))
      .map((field) => `fields ${JSON.stringify(outcome.fields)} lack ${field}`),
  ];
}

function isAs(found: unknown, wanted: unknown): boolean {
  const [, pattern] = (typeof wanted === "string" ? /^\/(.*)\/$/.exec(wanted) : null) ?? [];
  if (pattern === undefined) return found === wanted;
  return typeof found === "string" && new RegExp(pattern).test(found);
}

/** A value with each `${name}` in its texts replaced. */
function filled(value: unknown, names: Names): unknown {
  const text = JSON.stringify(value).replaceAll(/\$\{(\w+)\}/g, (whole, name: string) =>
    JSON.stringify(names.get(name) ?? whole).slice(1, -1),
  );
  return JSON.parse(text);
}

/** The value at a path such as `halts.0.haltId`. */
function at(value: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (found, name) =>
        typeof found === "object" && found !== null ? Reflect.get(found, name) : undefined,
      value,
    );
}
