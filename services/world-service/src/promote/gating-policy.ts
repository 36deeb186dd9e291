import { type EdgeOverride, setEdge } from "../apply/index.ts";
import { YamlReader, type YamlValue } from "../policy/yaml-reader.ts";

const DOMAINS = ["backtest", "dryrun", "live"] as const;
type Domain = (typeof DOMAINS)[number];

/** Rules of one promotion, checked whole. */
export interface GatingPolicy {
  readonly datasetFingerprint: string;
  /** Domains whose edges are cut from the freeze on. */
  readonly disableEdgesTo: readonly Domain[];
  /** Domains whose edges are opened with the unfreeze. */
  readonly enableEdgesTo: readonly Domain[];
}

/**
 * Reads the rules of a promotion: `dataset_fingerprint` is required, `share_policy` must be
 * `feature-artifacts-only`, `observability.slo.cross_context_cache_hit` must be 0, domains must be
 * known; `snapshot` names the planes.
 *
 * @throws {PolicyError} with line and column of every problem
 */
export function parseGatingPolicy(text: string): GatingPolicy {
  const reader = new YamlReader(text);
  const outer = reader.members(reader.root);
  const inner = outer.get("gating_policy");
  const value = inner !== undefined && outer.size === 1 ? inner : reader.root;
  const known = ["dataset_fingerprint", "share_policy", "snapshot", "edges", "observability"];
  const members = reader.members(value, [
    ...known,
    "divergence_guards",
    "risk_limits",
    "execution_model",
  ]);
  for (const key of ["divergence_guards", "risk_limits", "execution_model"]) {
    const member = members.get(key);
    if (member !== undefined) reader.complain(member, `"${key}" is not implemented yet`);
  }
  const fingerprint = members.get("dataset_fingerprint");
  if (fingerprint === undefined) reader.complain(value, "dataset_fingerprint is missing");
  const share = members.get("share_policy");
  if (share === undefined) reader.complain(value, "share_policy is missing");
  else reader.word(share, ["feature-artifacts-only"]);
  readSnapshot(reader, members.get("snapshot"));
  readSlo(reader, members.get("observability"));
  const edges = members.get("edges");
  const phases =
    edges === undefined ? new Map() : reader.members(edges, ["pre_promotion", "post_promotion"]);
  const policy: GatingPolicy = {
    datasetFingerprint: fingerprint === undefined ? "" : (reader.text(fingerprint) ?? ""),
    disableEdgesTo: readDomains(reader, phases.get("pre_promotion"), "disable_edges_to"),
    enableEdgesTo: readDomains(reader, phases.get("post_promotion"), "enable_edges_to"),
  };
  reader.finish();
  return policy;
}

/** The edges during and after a promotion, made from the current ones. */
export function promotionEdges(
  edges: readonly EdgeOverride[],
  policy: GatingPolicy | undefined,
  runId: string,
): { readonly pre: readonly EdgeOverride[]; readonly post: readonly EdgeOverride[] } {
  if (policy === undefined) return { pre: edges, post: edges };
  const disable = `pre_promotion_disable:${runId}`;
  const pre = policy.disableEdgesTo.reduce((all, to) => withEdge(all, to, false, disable), edges);
  const enable = `post_promotion_enable:${runId}`;
  const post = policy.enableEdgesTo.reduce((all, to) => withEdge(all, to, true, enable), pre);
  return { pre, post };
}

function withEdge(
  edges: readonly EdgeOverride[],
  to: Domain,
  active: boolean,
  reason: string,
): readonly EdgeOverride[] {
  return setEdge(edges, { source: "domain:backtest", target: `domain:${to}`, active, reason });
}

function readSnapshot(reader: YamlReader, value: YamlValue | undefined): void {
  if (value === undefined) return;
  for (const member of reader.members(value, ["strategy_plane", "feature_plane"]).values()) {
    reader.text(member);
  }
}

function readSlo(reader: YamlReader, value: YamlValue | undefined): void {
  const slo = value && reader.members(value, ["slo"]).get("slo");
  const hit =
    slo && reader.members(slo, ["cross_context_cache_hit"]).get("cross_context_cache_hit");
  if (hit !== undefined && reader.number(hit) !== 0) {
    reader.complain(hit, "cross_context_cache_hit must be 0");
  }
}

function readDomains(reader: YamlReader, value: YamlValue | undefined, key: string): Domain[] {
  const list = value && reader.members(value, [key]).get(key);
  if (list === undefined) return [];
  const domains = reader.items(list).map((item) => reader.word(item, DOMAINS));
  return domains.filter((domain) => domain !== undefined);
}
