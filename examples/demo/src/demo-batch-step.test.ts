import { fileURLToPath } from "node:url";
import { type BarTable, CsvSource, loadStrategy } from "@qmtl/sdk";
import {
  compilePlan,
  identifyStrategy,
  runBatch,
  StepExecutor,
  toRuntimeGraph,
} from "@qmtl/sdk/platform";
import { beforeAll, expect, test } from "vitest";
import { storyNames } from "./expected-figures.ts";
import { prepareData } from "./prepare-data.ts";

let table: BarTable;

beforeAll(async () => {
  const { feedFile } = await prepareData();
  table = await new CsvSource({ path: feedFile, interval: "1d" }).load();
});

const bits = (value: number): bigint =>
  new BigUint64Array(Float64Array.of(Number.isNaN(value) ? Number.NaN : value).buffer)[0]!;

test.each(storyNames)(
  "every node of %s has the same bits in batch and bucket by bucket",
  async (name) => {
    const file = fileURLToPath(new URL(`../strategies/${name}.ts`, import.meta.url));
    const { graph } = identifyStrategy(await loadStrategy(file), { worldId: "w" });
    const sources = graph.nodes.filter((node) => node.declared.node.nodeType === "StreamInput");
    const inputs = sources.map(({ id, declared }) => ({
      nodeId: id,
      endMs: table.bucketEndMs,
      columns: declared.node.outputs.map((column) => table.columns.get(column)!),
    }));
    const wanted = graph.nodes
      .map((node) => node.id)
      .filter((id) => !sources.some((s) => s.id === id));
    const plan = compilePlan({
      graph: toRuntimeGraph(graph),
      supplied: sources.map((node) => node.id),
      wanted,
    });
    const { columns } = runBatch({ plan, inputs, collect: wanted });
    const stepper = new StepExecutor(plan);
    const handles = wanted.map((id) => stepper.handle(id));
    const pushed = inputs.map((input) => stepper.handle(input.nodeId));
    let unequal = 0;

    for (let row = 0; row < table.rows; row++) {
      const endMs = table.bucketEndMs[row]!;
      for (const [k, input] of inputs.entries()) {
        stepper.push(
          pushed[k]!,
          row,
          endMs,
          input.columns.map((column) => column[row]!),
        );
      }
      stepper.step(endMs);
      for (const [k, id] of wanted.entries()) {
        const value = Number(columns.get(id)!.values[0]![row]);
        if (bits(value) !== bits(stepper.value(handles[k]!))) unequal++;
      }
    }

    expect(unequal).toBe(0);
    expect(table.rows).toBe(4277);
  },
);
