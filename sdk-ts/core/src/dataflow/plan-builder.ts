import { AlignKernel, CarryKernel, DelayKernel } from "../nodes/alignment.ts";
import type { OutputKind } from "../nodes/kernel.ts";
import type { GraphInput, GraphNode } from "./graph.ts";
import type {
  MapMode,
  Plan,
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

  /** Connects a node to its inputs and returns its lanes in the order they run; a supplied node runs none. */
  connect(node: GraphNode): number[] {
    const draft = this.#nodes.get(node.id)!;
    const index = this.#nodeIndex.get(node.id)!;
    const onMissing = node.onMissing ?? "skip";
    const base = { node: index, role: "node", clock: draft.clock, slots: draft.slots } as const;
    const kernel = node.kernel;
    if (draft.supplied || kernel === undefined) {
      this.#lanes[draft.lane] = { ...base, ports: [], rowsNeeded: 0, onMissing };
      return [];
    }
    const ports = node.inputs.map((input) => this.#port(input, draft, index));
    this.#lanes[draft.lane] = {
      ...base,
      ports,
      rowsNeeded: kernel.readsWindows ? kernel.lookback + 1 : 0,
      onMissing,
      create: () => kernel.create(),
    };
    for (const port of ports) this.#keep(port, draft.clock, kernel.lookback);
    return [...draft.served, draft.lane];
  }

  finish(stages: readonly PlanStage[], needs: RestoreNeeds): Plan {
    const nodes: PlanNode[] = [...this.#nodes.values()].map((draft) => ({
      id: draft.node.id,
      name: draft.node.name,
      clock: draft.clock,
      supplied: draft.supplied,
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

  /** The slot a node reads for an input, behind whatever delay, alignment or carry it needs. */
  #port(input: GraphInput, draft: NodeDraft, index: number): PlanPort {
    const upstream = this.#nodes.get(input.node)!;
    const kind = upstream.node.outputs[input.output]!;
    let port: PlanPort = { slot: upstream.slots[input.output]!, map: -1 };
    if (input.delayed === true) {
      port = this.#serve(draft, index, "delay", upstream.clock, port, kind);
      this.#keep(port, upstream.clock, 1);
    }
    if (upstream.clock !== draft.clock) {
      const mode = upstream.node.intervalMs === draft.node.intervalMs ? "exact" : "closed";
      port = { slot: port.slot, map: this.#map(draft.clock, upstream.clock, mode) };
      const carries = draft.node.onMissing === "carry";
      if (draft.node.kernel?.readsWindows !== true || carries) {
        this.#keep(port, draft.clock, 0);
        port = this.#serve(draft, index, "align", draft.clock, port, kind);
      }
    }
    if (draft.node.onMissing === "carry" && kind === "f64") {
      port = this.#serve(draft, index, "carry", draft.clock, port, kind);
    }
    return port;
  }

  /** Adds a lane in front of a node and returns the port that reads it. */
  #serve(
    draft: NodeDraft,
    index: number,
    role: "align" | "delay" | "carry",
    clock: number,
    port: PlanPort,
    kind: OutputKind,
  ): PlanPort {
    const create = {
      align: () => new AlignKernel(),
      delay: () => new DelayKernel(),
      carry: () => new CarryKernel(),
    }[role];
    const lane = this.#lanes.push(undefined) - 1;
    const slot = this.#slot(kind, lane);
    const rest = { rowsNeeded: 0, onMissing: "skip", create } as const;
    this.#lanes[lane] = { node: index, role, clock, slots: [slot], ports: [port], ...rest };
    draft.served.push(lane);
    return { slot, map: -1 };
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
