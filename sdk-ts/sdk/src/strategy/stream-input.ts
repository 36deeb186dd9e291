import type { Schedule } from "@qmtl/core/dataflow";
import type { NodeParams } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import { checkIdentifiers, checkName, checkTags } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { type NodeOptions, StrategyNode } from "./strategy-node.ts";

/** Declaration of a {@link StreamInput}. */
export interface StreamInputOptions<Column extends string = string>
  extends Omit<NodeOptions, "onMissing"> {
  /**
   * Entry of `sources:` in the configuration from which the rows come. Inputs of one entry share its clock. It is
   * required: a stream found by tags would be a different stream under a different configuration.
   */
  readonly source: string;
  /**
   * Columns to read, in this order; each an identifier, at least one. A node reads one of them: pick it with `column`.
   */
  readonly columns: readonly Column[];
  /** What the stream describes, for example a symbol. */
  readonly instrument?: string | undefined;
  /** Tags by which a tag query finds the stream: distinct, each 1..100 characters of `A-Za-z0-9_.-`. @default [] */
  readonly tags?: readonly string[] | undefined;
  /** `observed`: the rows are the sequence. `continuous`: every interval has a bar. @default "observed" */
  readonly schedule?: Schedule | undefined;
  /** Name of the record schema, if the columns alone do not identify it. @default none */
  readonly schema?: string | undefined;
}

const optionKeys: OptionKeys<StreamInputOptions> = {
  source: true,
  columns: true,
  interval: true,
  instrument: true,
  tags: true,
  schedule: true,
  schema: true,
  name: true,
};

const removedOptions = {
  period: "delete it: the rows of a window are given to the node that reads the stream",
};

/**
 * A stream of rows from a source. Its node id depends on this declaration, never on the rows. `Column` is the union of
 * the names of its columns.
 */
export class StreamInput<const Column extends string = string> extends StrategyNode<Column> {
  readonly nodeType = "StreamInput";
  readonly code = { kind: "builtin", name: "stream_input", version: 1 } as const;
  readonly outputs: readonly Column[];
  readonly params: NodeParams;
  /** Entry of `sources:` from which the rows come. */
  readonly source: string;
  /** Which buckets the source has. */
  readonly schedule: Schedule;
  /** Tags of the stream, sorted. */
  readonly tags: readonly string[];
  /** What the stream describes, if it was given. */
  readonly instrument: string | undefined;

  /**
   * @param options source, columns and what the stream describes
   * @throws {DeclarationError} naming the field.
   */
  constructor(options: StreamInputOptions<Column>) {
    checkOptions<StreamInputOptions>("StreamInput", options, optionKeys, removedOptions);
    super("StreamInput", options, []);
    const { schedule = "observed", instrument, schema } = options;
    if (options.source === undefined) {
      const fix =
        'name the entry of "sources:" in qmtl.yml the rows come from, as in source: "prices"';
      throw invalid("StreamInput.source", `${fix}; tags alone do not name what a stream reads`);
    }
    if (options.columns === undefined) {
      throw invalid("StreamInput.columns", 'is needed: the columns to read, as in ["close"]');
    }
    this.source = checkName("StreamInput.source", options.source);
    this.outputs = checkIdentifiers("StreamInput.columns", options.columns);
    this.tags = checkTags("StreamInput.tags", options.tags ?? []);
    this.instrument =
      instrument === undefined ? undefined : checkName("StreamInput.instrument", instrument);
    if (schedule !== "observed" && schedule !== "continuous") {
      throw invalid("StreamInput.schedule", "must be observed or continuous");
    }
    this.schedule = schedule;
    this.params = Object.freeze({
      source: this.source,
      columns: this.outputs,
      instrument: instrument ?? null,
      tags: this.tags,
      schedule,
      schema: schema === undefined ? null : checkName("StreamInput.schema", schema),
    });
  }

  override get fixedPeriod(): number {
    return 1;
  }

  defaultName(): string {
    return this.source;
  }

  kernel(): undefined {
    return undefined;
  }
}
