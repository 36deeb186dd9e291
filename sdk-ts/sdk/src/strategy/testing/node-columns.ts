import { blake3Hex, jcs } from "@qmtl/core/canonical";
import { compilePlan, runBatch, StepExecutor } from "@qmtl/core/dataflow";
import { identifyStrategy } from "../../runner/strategy-loading/identify-strategy.ts";
import {
  assignIds,
  compileStrategy,
  type HashableNode,
  type IdentifiedGraph,
  toRuntimeGraph,
} from "../graphs.ts";
import { Strategy, type StrategyNode, StreamInput } from "../index.ts";

const DAY_MS = 86_400_000;

/** A strategy of one node and those it reads, with their ids. */
export function identifiedNode(node: StrategyNode, module?: string): IdentifiedGraph {
  return identifyStrategy(strategyOf(node), { worldId: "w", module }).graph;
}

/** Likewise with ids that are made from the text of functions, in less time. */
export function numberedNode(node: StrategyNode): IdentifiedGraph {
  const hash = ({ code, ...rest }: HashableNode): string => {
    const text = code.kind === "function" ? String(code.fn) : code.name;
    return `blake3:${blake3Hex(jcs({ ...rest, text } as never))}`;
  };
  return assignIds(compileStrategy(new (strategyOf(node))(), { worldId: "w" }), hash);
}

function strategyOf(node: StrategyNode) {
  return class One extends Strategy {
    override setup(): void {
      this.addNodes([node]);
    }
  };
}

/**
 * Columns of a node over the rows of its one stream, computed in one chunk. Runs in chunks of other sizes and row by row
 * must give the same bits.
 *
 * @param rows values of each column of the stream
 */
export function nodeColumns(
  node: StrategyNode,
  rows: Readonly<Record<string, readonly number[]>>,
): Readonly<Record<string, readonly number[]>> {
  const graph = numberedNode(node);
  const stream = graph.nodes.find(({ declared }) => declared.node instanceof StreamInput)!;
  const id = graph.nodes.at(-1)!.id;
  const columns = stream.declared.node.outputs.map((name) => Float64Array.from(rows[name]!));
  const endMs = columns[0]!.map((_, row) => (row + 1) * DAY_MS);
  const plan = compilePlan({ graph: toRuntimeGraph(graph), supplied: [stream.id], wanted: [id] });
  const inputs = [{ nodeId: stream.id, endMs, columns }];
  const inChunks = (chunk: number) =>
    runBatch({ plan, inputs, collect: [id], chunk }).columns.get(id)!.values;
  const step = new StepExecutor(plan);
  const handle = step.handle(id);
  const stepped = node.outputs.map(() => new Float64Array(endMs.length));
  endMs.forEach((end, row) => {
    const values = columns.map((column) => column[row]);
    step.push(step.handle(stream.id), row, end, values);
    step.step(end);
    stepped.forEach((column, k) => {
      column[row] = step.value(handle, k);
    });
  });
  const whole = inChunks(2048);
  for (const other of [inChunks(1), inChunks(3), stepped]) {
    if (textOf(other) !== textOf(whole))
      throw new Error(`${textOf(other)} is not ${textOf(whole)}`);
  }
  return Object.fromEntries(node.outputs.map((name, k) => [name, [...whole[k]!] as number[]]));
}

const textOf = (columns: readonly ArrayLike<unknown>[]): string =>
  columns
    .map((column) => Array.from(column, (x) => (Object.is(x, -0) ? "-0" : x)).join())
    .join(";");
