import { blake3Hex } from "./blake3.ts";
import { jcs } from "./jcs.ts";

/** Fingerprint of the data of each source, by the source's name. */
export type SourcePins = Readonly<Record<string, string>>;

/** Which data a compute context may see. */
export interface PinnedData {
  /** Part of the compute key. `""`: live and shadow, which have no snapshot. */
  readonly asOf: string;
  /** Pins behind `asOf`. Empty for a text that pins every source at once, and where nothing is pinned. */
  readonly pins: SourcePins;
}

/** As-of of a node that reads no source. */
export const asOfNone = "none";

/** Sources a node reads, directly or not. */
export interface SourceCone {
  readonly sources: ReadonlySet<string>;
  /** True if it also reads a tag query: what that finds depends on every pin of the strategy. */
  readonly isOpen: boolean;
}

/** What `coneOfEach` needs of a node. */
export interface ConeNode {
  readonly nodeId: string;
  readonly inputs: readonly { readonly nodeId: string }[];
  /** Name of the source a source node reads. */
  readonly source?: { readonly source: string } | undefined;
  readonly tagQuery?: object | undefined;
}

const emptyCone: SourceCone = { sources: new Set(), isOpen: false };

/** Cone of each node, by node id. Nodes must come after their inputs; an input not among them adds no source. */
export function coneOfEach(nodes: Iterable<ConeNode>): ReadonlyMap<string, SourceCone> {
  const cones = new Map<string, SourceCone>();
  for (const { nodeId, inputs, source, tagQuery } of nodes) {
    let cone = emptyCone;
    for (const input of inputs) cone = joined(cone, cones.get(input.nodeId) ?? emptyCone);
    if (source !== undefined) {
      cone = joined(cone, { sources: new Set([source.source]), isOpen: false });
    }
    if (tagQuery !== undefined) cone = joined(cone, { sources: new Set(), isOpen: true });
    cones.set(nodeId, cone);
  }
  return cones;
}

/** Union of two cones: one of them if it contains the other, so that a deep graph does not copy sources per node. */
function joined(a: SourceCone, b: SourceCone): SourceCone {
  if (a === b || holds(a, b)) return a;
  if (holds(b, a)) return b;
  return { sources: new Set([...a.sources, ...b.sources]), isOpen: a.isOpen || b.isOpen };
}

function holds(whole: SourceCone, part: SourceCone): boolean {
  if (part.sources.size > whole.sources.size || (part.isOpen && !whole.isOpen)) return false;
  for (const source of part.sources) if (!whole.sources.has(source)) return false;
  return true;
}

/**
 * As-of made from pins: `none` without any, the fingerprint itself if there is one, otherwise
 * `"blake3:" + hex(BLAKE3(JCS({source: fingerprint, …})))`.
 */
export function asOfPins(pins: SourcePins): string {
  const fingerprints = Object.values(pins);
  if (fingerprints.length === 0) return asOfNone;
  return fingerprints.length === 1 ? fingerprints[0]! : pinsHash(pins);
}

/**
 * The part of a strategy's data that a node with this cone may see. A node that reads a tag query gets all pins of the
 * strategy, always as their hash, even if there is only one: its id does not say which sources it reads.
 */
export function dataOfCone(of: PinnedData, cone: SourceCone): PinnedData {
  if (of.asOf === "" || pinsEverySource(of)) return of;
  if (cone.isOpen) {
    const isUnpinned = Object.keys(of.pins).length === 0;
    return { asOf: isUnpinned ? asOfNone : pinsHash(of.pins), pins: of.pins };
  }
  const own = Object.entries(of.pins).filter(([source]) => cone.sources.has(source));
  const pins = Object.fromEntries(own);
  return { asOf: asOfPins(pins), pins };
}

/** Sources of a cone that the strategy's data should pin but does not. */
export function unpinnedSources(of: PinnedData, cone: SourceCone): readonly string[] {
  if (of.asOf === "" || pinsEverySource(of)) return [];
  return [...cone.sources].filter((source) => !Object.hasOwn(of.pins, source));
}

/** True for an as-of that was given as a text: it stands for the data of every source. */
export function pinsEverySource({ asOf, pins }: PinnedData): boolean {
  return asOf !== "" && asOf !== asOfNone && Object.keys(pins).length === 0;
}

function pinsHash(pins: SourcePins): string {
  return `blake3:${blake3Hex(jcs({ ...pins }))}`;
}
