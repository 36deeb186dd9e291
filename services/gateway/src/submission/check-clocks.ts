import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { World } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { SourceKeys } from "../feed/source-keys.ts";

interface ClockPorts {
  readonly config: Pick<QmtlConfig, "sources" | "accounts" | "instruments">;
  /** Source queues that were submitted before. */
  readonly keys: Pick<SourceKeys, "isReplay" | "hasKind">;
  /** Sources that the strategies bound to a world read, and those that are being bound to it. */
  readonly readIn: (worldId: string) => Promise<readonly string[]>;
}

/** A source; `isReplay`: its time is that of recorded data. */
interface TimedSource {
  readonly source: string;
  readonly isReplay: boolean;
}

/**
 * Checks that replayed and live sources do not meet: in a graph, nor in a world, where a graph joins the world's own
 * source, the sources that mark and fund what its account trades, and what its other strategies read. A row of a
 * replayed source waits until all of its world have ended the row before; a live one waits for nobody.
 *
 * @throws {QmtlError} CLOCK_MIXED naming two sources that do not go together.
 */
export async function checkClocks(
  ports: ClockPorts,
  nodes: readonly Node[],
  worlds: readonly World[],
): Promise<void> {
  const { config, keys } = ports;
  const kindOf = (source: string): boolean | undefined => configured(config, source);
  const first = checkGraphClocks(nodes, kindOf);
  if (first === undefined) return;
  const isOther = (source: string) =>
    (kindOf(source) ?? keys.isReplay(source)) === !first.isReplay && source !== "";
  const others = Object.keys(config.sources).filter(isOther);
  if (others.length === 0 && !keys.hasKind(!first.isReplay)) return;
  for (const [at, { worldId, source, accountId }] of worlds.entries()) {
    const booked = config.accounts[accountId]?.instruments.flatMap((symbol) => {
      const { mark_source = "", funding = null } = config.instruments[symbol] ?? {};
      return funding === null ? [mark_source] : [mark_source, funding.source];
    });
    const used = [source, ...(booked ?? []), ...(await ports.readIn(worldId))];
    const other = used.find(isOther);
    if (other === undefined) continue;
    const met = are(first, { source: other, isReplay: !first.isReplay });
    throw mixed(`world_ids[${at}]`, `${met} in world ${worldId}; use another world and account`);
  }
}

/** Whether a graph that passed `checkClocks` reads replayed sources; undefined without any source of a known kind. */
export function isReplayed(
  config: ClockPorts["config"],
  nodes: readonly Node[],
): boolean | undefined {
  return checkGraphClocks(nodes, (source) => configured(config, source))?.isReplay;
}

/** The first source of a graph whose sources are all of one kind; undefined for a graph without any. */
function checkGraphClocks(
  nodes: readonly Node[],
  kindOf: (source: string) => boolean | undefined,
): TimedSource | undefined {
  let first: TimedSource | undefined;
  nodes.forEach(({ source: binding, inputs }, at) => {
    if (binding === undefined || inputs.length > 0) return;
    const { source, adapter } = binding;
    const known = kindOf(source);
    const isReplay = adapter === "" ? known : adapter.endsWith("-replay");
    if (isReplay === undefined) return;
    const field = `graph.nodes[${at}].source`;
    if (known !== undefined && known !== isReplay)
      throw mixed(
        `${field}.adapter`,
        `${source} is ${kind(known)} here, which "${adapter}" is not`,
      );
    first ??= { source, isReplay };
    if (first.isReplay !== isReplay) throw mixed(field, are(first, { source, isReplay }));
  });
  return first;
}

/** Whether a source of the configuration is replayed; undefined for one that it does not have. */
function configured({ sources }: ClockPorts["config"], source: string): boolean | undefined {
  return Object.hasOwn(sources, source) ? sources[source]?.adapter.endsWith("-replay") : undefined;
}

const kind = (isReplay: boolean): string => (isReplay ? "replayed" : "live");
const are = (a: TimedSource, b: TimedSource): string =>
  `${a.source} is ${kind(a.isReplay)} and ${b.source} is ${kind(b.isReplay)}`;

function mixed(field: string, description: string): QmtlError {
  const fields = [{ field, description }];
  return new QmtlError("CLOCK_MIXED", `${field}: ${description}`, { fields });
}
