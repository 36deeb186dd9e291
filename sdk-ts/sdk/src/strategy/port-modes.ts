import type { OnMissing } from "@qmtl/core/dataflow";
import type { ParamValue } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import { checkRows } from "./fields.ts";
import { nearestOf } from "./option-keys.ts";

/** One mode for all ports of a node, or one by port; a port that is left out skips. */
export type OnMissingOption<Port extends string = string> =
  | OnMissing
  | { readonly [P in Port]?: OnMissing | undefined };

/** What a node does at a bucket where one of its ports has no value. */
export class PortModes {
  readonly #all: OnMissing;
  readonly #byPort: ReadonlyMap<string, OnMissing>;
  /** As it stands in the node id; undefined where every port skips. */
  readonly param: ParamValue | undefined;

  private constructor(all: OnMissing, byPort: ReadonlyMap<string, OnMissing>) {
    this.#all = all;
    this.#byPort = byPort;
    const stated = [...byPort].filter(([, mode]) => mode !== "skip");
    this.param =
      byPort.size > 0 ? Object.fromEntries(stated) : all === "skip" ? undefined : paramOf(all);
  }

  /**
   * @param field name in the error, such as `ProcessingNode.onMissing`
   * @param given what the author wrote. @default "skip"
   * @param ports ports of the node; undefined where they are not known yet, and one mode is for all
   * @throws {DeclarationError} for a mode that does not exist, or a port that the node does not have.
   */
  static check(
    field: string,
    given: OnMissingOption | undefined,
    ports: readonly string[] | undefined,
  ): PortModes {
    if (given === undefined || isMode(given))
      return PortModes.#of(checkMode(field, given ?? "skip"));
    const entries = typeof given === "object" && given !== null ? Object.entries(given) : [];
    if (ports === undefined || entries.length === 0) throw notMode(field, given);
    const modes = new Map(ports.map((port) => [port, "skip" as OnMissing]));
    for (const [port, mode] of entries) {
      if (!modes.has(port)) throw unknownPort(field, port, ports);
      if (mode !== undefined) modes.set(port, checkMode(`${field}.${port}`, mode));
    }
    const [first = "skip", ...others] = modes.values();
    const isOne = others.every((mode) => textOf(mode) === textOf(first));
    return isOne ? PortModes.#of(first) : new PortModes("skip", modes);
  }

  /** The mode of a port. */
  of(port: string): OnMissing {
    return this.#byPort.get(port) ?? this.#all;
  }

  static #of(mode: OnMissing): PortModes {
    return new PortModes(mode, new Map());
  }
}

const named: readonly unknown[] = ["skip", "nan", "carry", "fail"];

/** A mode and no object of modes by port: a port named `carry` has a mode, and no number. */
function isMode(given: OnMissingOption): given is OnMissing {
  if (typeof given === "string") return true;
  const keys = typeof given === "object" && given !== null ? Object.keys(given) : [];
  return keys.length === 1 && keys[0] === "carry" && typeof Object(given).carry === "number";
}

function checkMode(field: string, mode: OnMissing): OnMissing {
  if (named.includes(mode)) return mode;
  if (typeof mode === "object" && isMode(mode)) {
    return Object.freeze({ carry: checkRows(`${field}.carry`, mode.carry) });
  }
  throw notMode(field, mode);
}

function notMode(field: string, given: unknown) {
  const text = typeof given === "string" ? given : JSON.stringify(given);
  return invalid(field, `must be skip, nan, carry, { carry: rows } or fail, not ${text}`);
}

function unknownPort(field: string, port: string, ports: readonly string[]) {
  const fix = nearestOf(port, ports, "it has");
  return invalid(`${field}.${port}`, `is not a port of the node; ${fix}`);
}

function textOf(mode: OnMissing): string {
  return typeof mode === "object" ? `carry ${mode.carry}` : mode;
}

function paramOf(mode: OnMissing): ParamValue {
  return typeof mode === "object" ? { carry: mode.carry } : mode;
}
