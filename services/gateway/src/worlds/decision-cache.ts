import { clone } from "@bufbuild/protobuf";
import {
  type DecideRequest,
  type DecideResponse,
  DecideResponseSchema,
  DecisionService,
} from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import type { CallContext, CounterMetric, Metrics } from "@qmtl/service-kit";
import { isTransient } from "../peers/breaker.ts";
import { callOf } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";
import { fillDecision, lowered } from "./envelopes.ts";

/** Largest number of decisions kept, one for each question. */
const keptMax = 10_000;
/** Longest wait for a decision while an older one is at hand, milliseconds. */
const answerMs = 2_000;

/**
 * What worlds allow. WorldService is asked each time; only when it does not answer, its last answer is given, lowered
 * to compute-only and marked stale. Without a last answer the failure is thrown.
 */
export class DecisionCache {
  readonly #world: Peer;
  readonly #stale: CounterMetric;
  readonly #kept = new Map<string, DecideResponse>();

  constructor(world: Peer, metrics: Metrics) {
    this.#world = world;
    this.#stale = metrics.counter("worlds_stale_responses_total", "Stale decisions given");
  }

  async decide(request: DecideRequest, context: CallContext): Promise<DecideResponse> {
    const key = JSON.stringify([request.worldId, [...request.strategyIds].sort()]);
    const kept = this.#kept.get(key);
    const call = callOf(context);
    const timeoutMs =
      kept === undefined ? call.timeoutMs : Math.min(call.timeoutMs ?? answerMs, answerMs);
    try {
      const answer = await this.#world.unary(DecisionService.method.decide, request, {
        ...call,
        timeoutMs,
      });
      fillDecision(answer.decision);
      this.#keep(key, answer);
      return answer;
    } catch (failure) {
      if (kept === undefined || !isTransient(failure) || context.signal.aborted) throw failure;
      this.#stale.inc();
      return lowered(kept);
    }
  }

  #keep(key: string, answer: DecideResponse): void {
    this.#kept.delete(key);
    this.#kept.set(key, clone(DecideResponseSchema, answer));
    if (this.#kept.size <= keptMax) return;
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined) this.#kept.delete(oldest);
  }
}
