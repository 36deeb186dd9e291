import type { SubmitStrategyRequest } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { asOfNone } from "@qmtl/core/canonical";
import { QmtlError, type ReasonName } from "@qmtl/sdk/rpc";

/**
 * Checks what a submission says of its data: as_of, or a pin for each source of the graph and no other. Without worlds
 * nothing is computed, and pins need not be there.
 *
 * @throws {QmtlError} INVALID_FIELD; CONTEXT_INCOMPLETE when a source is not pinned.
 */
export function checkData({ asOf, pins, graph, worldIds }: SubmitStrategyRequest): void {
  if (asOf === asOfNone) {
    throw refusal("INVALID_FIELD", "as_of", `"${asOfNone}" is kept for what reads no source`);
  }
  if (asOf !== "" && pins.length > 0) {
    throw refusal("INVALID_FIELD", "pins", "must be empty with as_of, which pins every source");
  }
  const sources = new Set(
    graph!.nodes.flatMap((node) => (node.source === undefined ? [] : [node.source.source])),
  );
  const pinned = new Set<string>();
  pins.forEach(({ source }, at) => {
    const field = `pins[${at}].source`;
    if (!sources.has(source)) throw refusal("INVALID_FIELD", field, "is no source of the graph");
    if (pinned.has(source)) throw refusal("INVALID_FIELD", field, "is pinned twice");
    pinned.add(source);
  });
  const missing = [...sources].find((source) => !pinned.has(source));
  if (missing === undefined || asOf !== "" || worldIds.length === 0) return;
  throw refusal(
    "CONTEXT_INCOMPLETE",
    "pins",
    `has no entry for source ${missing}, nor is as_of set`,
  );
}

/**
 * Checks the targets of a submission: nodes of the graph, at most one per instrument.
 *
 * @throws {QmtlError} INVALID_FIELD.
 */
export function checkTargets({ targets, graph }: SubmitStrategyRequest): void {
  const nodes = new Set(graph!.nodes.map((node) => node.nodeId));
  const instruments = new Set<string>();
  targets.forEach(({ nodeId, instrument }, at) => {
    const field = `targets[${at}]`;
    if (!nodes.has(nodeId)) {
      throw refusal("INVALID_FIELD", `${field}.node_id`, "is not part of the graph");
    }
    if (instruments.has(instrument)) {
      throw refusal("INVALID_FIELD", `${field}.instrument`, "has another target");
    }
    instruments.add(instrument);
  });
}

/** A refusal that names its field. */
export function refusal(reason: ReasonName, field: string, description: string): QmtlError {
  return new QmtlError(reason, `${field}: ${description}`, { fields: [{ field, description }] });
}
