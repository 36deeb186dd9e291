import { AlignKernel, DelayKernel } from "../nodes/alignment.ts";
import type { Kernel, OutputKind } from "../nodes/kernel.ts";
import { CarryGuard, FailGuard, NanGuard } from "../nodes/port-guard.ts";
import type { GraphInput, GraphNode, OnMissing } from "./graph.ts";
import type {
  MapMode,
  Plan,
  PlanGuard,
  PlanLane,
  PlanMap,
  PlanNode,
  PlanPort,
  PlanSlot,
  PlanStage,
} from "./plan.ts";
import type { RestoreNeeds } from "./restore-needs.ts";
import type { ClockSpec } from "./schedule.ts";

interface NodeDraft {
  readonly node: GraphNode;
  readonly supplied: boolean;
  readonly clock: number;
  readonly slots: readonly number[];
  readonly lane: number;
  readonly served: number[];
}

/** Collects the parts of a plan; see `compile-plan.ts` for the order of calls. */
export class PlanBuilder {
  readonly #specs: ReadonlyMap<string, ClockSpec>;
  readonly #clockIndex = new Map<string, number>();
  readonly #clocks: { spec: ClockSpec; lookback: number }[] = [];
  readonly #maps: PlanMap[] = [];
  readonly #slots: PlanSlot[] = [];
  readonly #lanes: (PlanLane | undefined)[] = [];
  readonly #nodes = new Map<string, NodeDraft>();
  readonly #nodeIndex = new Map<string, number>();

  constructor(specs: ReadonlyMap<string, ClockSpec>) {
    this.#specs = specs;
  }

  /** Reserves clock, lane and output slots of a node. */
  addNode(node: GraphNode, supplied: boolean): void {
    const clock = this.#clock(this.#specs.get(node.id)!);
    const lane = this.#lanes.push(undefined) - 1;
    const slots = node.outputs.map((kind) => this.#slot(kind, lane));
    this.#nodeIndex.set(node.id, this.#nodes.size);
    this.#nodes.set(node.id, { node, supplied, clock, slots, lane, served: [] });
  }

  /**
   * Connects a node to its inputs and returns its lanes in the order they run; a supplied node runs none. Lanes on a
   * clock other than the node's own come first.
   */
  connect(node: GraphNode): number[] {
    const draft = this.#nodes.get(node.id)!;
    const index = this.#nodeIndex.get(node.id)!;
    const base = { node: index, role: "node", clock: draft.clock, slots: draft.slots } as const;
    const kernel = node.kernel;
    if (draft.supplied || kernel === undefined) {
      this.#lanes[draft.lane] = { ...base, ports: [], rowsNeeded: 0 };
      return [];
    }
    const ports = node.inputs.map((input) => this.#port(input, draft, index));
    this.#lanes[draft.lane] = {
      ...base,
      ports,
      rowsNeeded: kernel.readsWindows ? kernel.lookback + 1 : 0,
      create: () => kernel.create(),
    };
    for (const port of ports) this.#keep(port, draft.clock, kernel.lookback);
    return [...draft.served, draft.lane];
  }

  /** Clock of a lane of a node that is connected. */
  clockOf(lane: number): number {
    return this.#lanes[lane]!.clock;
  }

  finish(stages: readonly PlanStage[], needs: RestoreNeeds): Plan {
    const nodes: PlanNode[] = [...this.#nodes.values()].map((draft) => ({
      id: draft.node.id,
      name: draft.node.name,
      clock: draft.clock,
      supplied: draft.supplied,
      isSource: draft.node.kernel === undefined,
      lane: draft.lane,
      served: draft.served,
      slots: draft.slots,
      lookback: draft.supplied ? 0 : (draft.node.kernel?.lookback ?? 0),
      warmup: draft.supplied ? 0 : (draft.node.kernel?.warmup ?? 0),
    }));
    return {
      clocks: this.#clocks,
      maps: this.#maps,
      slots: this.#slots,
      lanes: this.#lanes.map((lane) => lane!),
      nodes,
      stages,
      nodeIndex: this.#nodeIndex,
      ...needs,
    };
  }

  /** The slot a node reads for an input, behind whatever delay, alignment or guard it needs. */
  #port(input: GraphInput, draft: NodeDraft, index: number): PlanPort {
    const upstream = this.#nodes.get(input.node)!;
    const kind = upstream.node.outputs[input.output]!;
    const mode = kind === "f64" ? (input.onMissing ?? "skip") : "skip";
    const showsNan = mode === "nan";
    let port: PlanPort = { slot: upstream.slots[input.output]!, map: -1, showsNan: false };
    if (input.delayed === true) {
      port = this.#serve(draft, index, "delay", upstream.clock, port, kind);
      this.#keep(port, upstream.clock, 1);
    }
    if (upstream.clock === draft.clock) {
      return { ...this.#guarded(input, draft, index, draft.clock, port, 0), showsNan };
    }
    const isExact = upstream.node.intervalMs === draft.node.intervalMs;
    const map = this.#map(draft.clock, upstream.clock, isExact ? "exact" : "closed");
    const { lookback = 0, readsWindows = false } = draft.node.kernel ?? {};
    if (readsWindows && !isExact) {
      // The last row of a slower input stays in the window of the next row of the node.
      port = this.#guarded(input, draft, index, upstream.clock, port, lookback + 1);
      return { ...port, map, showsNan };
    }
    const mapped = { ...port, map };
    if (readsWindows && mode === "skip") return mapped;
    this.#keep(mapped, draft.clock, 0);
    const aligned = this.#serve(draft, index, "align", draft.clock, mapped, kind);
    const guarded = this.#guarded(input, draft, index, draft.clock, aligned, lookback);
    return { ...(readsWindows && mode === "fail" ? mapped : guarded), showsNan };
  }

  /**
   * Adds the guard of a port whose `onMissing` is not `skip`, and returns the port that the node reads.
   *
   * @param tailRows rows of the port that are not computed again by a restore
   */
  #guarded(
    { onMissing = "skip", port: name, delayed }: GraphInput,
    draft: NodeDraft,
    index: number,
    clock: number,
    port: PlanPort,
    tailRows: number,
  ): PlanPort {
    if (onMissing === "skip" || this.#slots[port.slot]!.kind !== "f64") return port;
    if (onMissing === "nan" && delayed === true) return port;
    const lookback = draft.node.kernel?.lookback ?? 0;
    const carries = onMissing === "carry" || typeof onMissing === "object";
    const tail = carries ? Math.max(tailRows, lookback) : onMissing === "nan" ? tailRows : 0;
    const guard = { port: name, tailRows: tail };
    const guarded = this.#serve(draft, index, "guard", clock, port, "f64", { guard, onMissing });
    return onMissing === "fail" ? port : guarded; // a port that fails has the values it always had
  }

  /** Adds a lane in front of a node and returns the port that reads it. */
  #serve(
    draft: NodeDraft,
    index: number,
    role: "align" | "delay" | "guard",
    clock: number,
    port: PlanPort,
    kind: OutputKind,
    guarding?: { readonly guard: PlanGuard; readonly onMissing: OnMissing },
  ): PlanPort {
    const create = {
      align: () => new AlignKernel(),
      delay: () => new DelayKernel(),
      guard: () => makeGuard(guarding?.onMissing),
    }[role];
    const lane = this.#lanes.push(undefined) - 1;
    const slot = this.#slot(kind, lane);
    const rest = { rowsNeeded: 0, create, ...(guarding && { guard: guarding.guard }) } as const;
    this.#lanes[lane] = { node: index, role, clock, slots: [slot], ports: [port], ...rest };
    draft.served.push(lane);
    return { slot, map: -1, showsNan: false };
  }

  #slot(kind: OutputKind, lane: number): number {
    return this.#slots.push({ kind, lane }) - 1;
  }

  #clock(spec: ClockSpec): number {
    const known = this.#clockIndex.get(spec.key);
    if (known !== undefined) return known;
    const index = this.#clocks.push({ spec, lookback: 1 }) - 1;
    this.#clockIndex.set(spec.key, index);
    return index;
  }

  #map(fine: number, coarse: number, mode: MapMode): number {
    const same = (map: PlanMap) => map.fine === fine && map.coarse === coarse && map.mode === mode;
    const known = this.#maps.findIndex(same);
    return known >= 0 ? known : this.#maps.push({ fine, coarse, mode }) - 1;
  }

  /** Makes the clock a port lies on keep `lookback` rows; a mapped reader may start one row further back. */
  #keep(port: PlanPort, ownClock: number, lookback: number): void {
    const map = this.#maps[port.map];
    const clock = this.#clocks[map === undefined ? ownClock : map.coarse]!;
    clock.lookback = Math.max(clock.lookback, lookback + (map === undefined ? 0 : 1));
  }
}

function makeGuard(onMissing: OnMissing | undefined): Kernel {
  if (onMissing === "nan") return new NanGuard();
  if (onMissing === "fail") return new FailGuard();
  return new CarryGuard(typeof onMissing === "object" ? onMissing.carry : Number.POSITIVE_INFINITY);
}
