import { create } from "@bufbuild/protobuf";
import {
  type Submission,
  SubmissionSchema,
  SubmissionState,
} from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import {
  type ComputeContext,
  EffectiveMode,
  ExecutionDomain,
} from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallPrincipal,
  type Clock,
  type ClockTimer,
  failpoints,
  type Logger,
  sleep,
} from "@qmtl/service-kit";
import { appendCountedEvent } from "@qmtl/service-kit/control";
import type { Db, Queryable } from "@qmtl/service-kit/db";
import { isTransient } from "../peers/breaker.ts";
import type { Peer, PeerCall } from "../peers/peer.ts";
import type { ControlOutbox } from "../ports.ts";
import {
  type ChangedSubmission,
  claimSubmission,
  openSubmissions,
  renewClaim,
  type SubmissionResult,
  type SubmissionRow,
} from "../store/submission-store.ts";
import { isOneStatement, type SubmissionClaim } from "../store/submission-writes.ts";
import { contextAt } from "./plan-contexts.ts";
import { runDiff } from "./run-diff.ts";
import { writeOutcome } from "./store-submission.ts";
import { submissionChange } from "./submission-topic.ts";
import type { SubmissionWatch } from "./watch-submission.ts";

/** Submissions worked on at once. */
const parallelMax = 4;
/**
 * How long a process that works on a submission may be silent before another may take over, and how often it renews its
 * claim, milliseconds.
 */
const ownMs = 4_000;
const renewMs = 1_000;
/** How often to look for submissions of processes that are gone, milliseconds. */
const sweepMs = 2_000;
const retryMsMin = 100;
const retryMsMax = 2_000;

/** A submission whose process died is taken up by another after this time at most, milliseconds. */
export const takeoverMsMax = ownMs + sweepMs;

interface SubmissionWorkerPorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly world: Peer;
  readonly dag: Peer;
  /** Acts for the gateway itself. */
  readonly gateway: CallPrincipal;
  readonly gatewayId: string;
  readonly outbox: Pick<ControlOutbox, "pokeSoon">;
  /** Is notified of each change of a submission. */
  readonly watch: Pick<SubmissionWatch, "changed">;
}

/** A place for a submission that is about to be stored, as claimed by this process. Given back unless work began. */
interface SubmissionPlace extends AsyncDisposable {
  readonly claim: SubmissionClaim;
  /** Begins to work on the submission as it was stored. */
  begin(row: ChangedSubmission): void;
}

type Job = Pick<
  SubmissionRow,
  "submissionId" | "strategyId" | "worldIds" | "principal" | "request"
>;

/**
 * Brings submissions to completion: binds them to their worlds, submits their backtest, compares their graphs, and
 * stores the queues. In an outage it tries again, for ever, with growing pauses, and reports it in the state's reason;
 * a refusal ends in `failed`. What an earlier process left open continues after `start`.
 */
export class SubmissionWorker {
  readonly #ports: SubmissionWorkerPorts;
  readonly #waiting: string[] = [];
  readonly #busy = new Set<string>();
  readonly #timers = new Map<string, ClockTimer>();
  readonly #stopping = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(ports: SubmissionWorkerPorts) {
    this.#ports = ports;
  }

  async start(): Promise<void> {
    await this.#sweep();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    await Promise.allSettled(this.#running);
  }

  /** Begins to work on a submission as soon as there is room. */
  take(submissionId: string): void {
    this.#timers.get(submissionId)?.cancel();
    this.#timers.delete(submissionId);
    if (!this.#waiting.includes(submissionId)) this.#waiting.push(submissionId);
    this.#next();
  }

  /** Keeps a place for a submission that is about to be stored; undefined when all are taken, or it has one. */
  reserve(submissionId: string): SubmissionPlace | undefined {
    const isFull = this.#busy.size >= parallelMax || this.#busy.has(submissionId);
    if (isFull || this.#stopping.signal.aborted) return undefined;
    const { clock, gatewayId } = this.#ports;
    this.#busy.add(submissionId);
    let isBegun = false;
    return {
      claim: { owner: gatewayId, ownedUntilMs: clock.nowMs() + ownMs },
      begin: (row) => {
        isBegun = true;
        this.#begin(submissionId, row);
      },
      [Symbol.asyncDispose]: async () => {
        if (!isBegun) this.#leave(submissionId);
      },
    };
  }

  /** What a submission would come to; nothing is stored. */
  async preview(job: Job, signal: AbortSignal): Promise<Submission> {
    const call = { principal: this.#ports.gateway, signal };
    const contexts: ComputeContext[] = [];
    for (const worldId of job.worldIds) {
      // Of all strategies: this one may not be bound yet.
      const decide = DecisionService.method.decide;
      const { decision } = await this.#ports.world.unary(decide, { worldId }, call);
      const known = decision?.strategies.find((each) => each.strategyId === job.strategyId);
      contexts.push(contextAt(worldId, known?.stage ?? EffectiveMode.VALIDATE, job.request));
    }
    const { submission } = await runDiff(this.#ports.dag, job, contexts, call);
    const { submissionId, strategyId } = job;
    const { strategyName } = job.request;
    const state = SubmissionState.COMPLETED;
    const named = { submissionId, strategyId, strategyName, state };
    return create(SubmissionSchema, { ...submission, ...named });
  }

  async #sweep(): Promise<void> {
    const { db, clock, logger, gatewayId } = this.#ports;
    try {
      for (const id of await openSubmissions(db, gatewayId, clock.nowMs())) {
        if (!this.#busy.has(id) && !this.#timers.has(id)) this.take(id);
      }
    } catch (error) {
      logger.warn("cannot look for open submissions", { error });
    }
    if (this.#stopping.signal.aborted) return;
    this.#timers.set(
      "",
      clock.setTimer(() => this.#track(this.#sweep()), sweepMs),
    );
  }

  #next(): void {
    while (this.#busy.size < parallelMax && !this.#stopping.signal.aborted) {
      const at = this.#waiting.findIndex((id) => !this.#busy.has(id));
      if (at < 0) return;
      const [id] = this.#waiting.splice(at, 1);
      this.#busy.add(id!);
      this.#begin(id!);
    }
  }

  /** @param claimed the submission, if it is claimed already. */
  #begin(submissionId: string, claimed?: ChangedSubmission): void {
    this.#track(this.#attempt(submissionId, claimed).finally(() => this.#leave(submissionId)));
  }

  #leave(submissionId: string): void {
    this.#busy.delete(submissionId);
    this.#next();
  }

  async #attempt(submissionId: string, claimed: ChangedSubmission | undefined): Promise<void> {
    const { logger, watch } = this.#ports;
    let row = claimed;
    try {
      row ??= await this.#claim(submissionId);
      if (row === undefined) return;
      watch.changed(submissionId, row);
      const result = await this.#keeping(row, this.#work(row));
      await this.#finish(row, "completed", "", result);
    } catch (failure) {
      if (this.#stopping.signal.aborted) return;
      logger.warn("a submission attempt failed", { submissionId, failure });
      const reason = failure instanceof Error ? failure.message : String(failure);
      const isRefusal = failure instanceof QmtlError && !isTransient(failure);
      const attempts = row?.attempts ?? 1;
      await this.#settle(row, isRefusal, reason).catch((error: unknown) => {
        logger.warn("the state of a submission could not be written", { submissionId, error });
        watch.changed(submissionId, undefined);
      });
      if (!isRefusal || row === undefined) this.#later(submissionId, attempts);
    }
  }

  async #claim(submissionId: string): Promise<ChangedSubmission | undefined> {
    const { db, clock, gatewayId, outbox } = this.#ports;
    const row = await db.transaction(async (tx) => {
      const nowMs = clock.nowMs();
      const claimed = await claimSubmission(tx, submissionId, gatewayId, { nowMs, ownMs });
      if (claimed !== undefined) {
        await appendCountedEvent(tx, "gateway", submissionChange(claimed), nowMs);
      }
      return claimed;
    });
    outbox.pokeSoon();
    return row;
  }

  async #settle(
    row: ChangedSubmission | undefined,
    isRefusal: boolean,
    reason: string,
  ): Promise<void> {
    if (row === undefined) return;
    await this.#finish(row, isRefusal ? "failed" : "queued", reason, undefined);
  }

  #later(submissionId: string, attempts: number): void {
    const delayMs = Math.min(retryMsMin * 2 ** Math.min(attempts - 1, 20), retryMsMax);
    const timer = this.#ports.clock.setTimer(() => this.take(submissionId), delayMs);
    this.#timers.set(submissionId, timer);
  }

  /** Extends the claim until the work has ended. */
  async #keeping<T>(row: SubmissionRow, work: Promise<T>): Promise<T> {
    const { db, clock, gatewayId, logger } = this.#ports;
    const ended = new AbortController();
    const keep = async (): Promise<void> => {
      for (;;) {
        await sleep(clock, renewMs, ended.signal);
        if (ended.signal.aborted) return;
        // A claim that was lost meanwhile does no harm: the work may be done twice, its outcome is written once.
        await renewClaim(db, row, gatewayId, { nowMs: clock.nowMs(), ownMs }).catch(
          (error: unknown) => {
            logger.warn("a claim could not be extended", { submissionId: row.submissionId, error });
          },
        );
      }
    };
    const kept = keep();
    try {
      return await work;
    } finally {
      ended.abort();
      await kept;
    }
  }

  /** Acts as the gateway, which may bind; the audit names the submitter. */
  async #work(row: SubmissionRow): Promise<SubmissionResult> {
    const { world, dag, gateway } = this.#ports;
    const { signal } = this.#stopping;
    const forSubmitter: CallPrincipal = { name: row.principal.name, role: "gateway" };
    const call = { principal: forSubmitter, signal };
    const contexts: ComputeContext[] = [];
    for (const worldId of row.worldIds) {
      const stage = await bind(world, row, worldId, call);
      await reportBacktest(world, row, worldId, call);
      contexts.push(contextAt(worldId, stage, row.request));
    }
    return runDiff(dag, row, contexts, { principal: gateway, signal });
  }

  async #finish(
    row: ChangedSubmission,
    state: SubmissionRow["state"],
    reason: string,
    result: SubmissionResult | undefined,
  ): Promise<void> {
    const { db, clock, gatewayId, outbox, watch } = this.#ports;
    await failpoints.hit("gw.submission.before_commit");
    const nowMs = clock.nowMs();
    const outcome = { state, reason, nowMs, ...(result === undefined ? {} : { result }) };
    const write = (to: Queryable) => writeOutcome(to, row, gatewayId, outcome);
    const written = await (isOneStatement(outcome) ? write(db) : db.transaction(write));
    await failpoints.hit("gw.submission.after_commit");
    outbox.pokeSoon();
    watch.changed(row.submissionId, written);
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }
}

/** Binds the strategy; its stage decides the context, so that a restarted runner finds the one it had. */
async function bind(
  world: Peer,
  row: SubmissionRow,
  worldId: string,
  call: PeerCall,
): Promise<EffectiveMode> {
  const { strategyId } = row;
  const strategies = [{ strategyId, strategyName: row.request.strategyName }];
  const request = { worldId, strategies };
  const answer = await world.unary(WorldService.method.createBindings, request, call);
  return (
    answer.bindings.find((each) => each.strategyId === strategyId)?.stage ?? EffectiveMode.VALIDATE
  );
}

async function reportBacktest(
  world: Peer,
  row: SubmissionRow,
  worldId: string,
  call: PeerCall,
): Promise<void> {
  const { backtest } = row.request;
  if (backtest === undefined || backtest.returns.length === 0) return;
  // Whatever domain its author states: what comes with a submission was never measured here.
  const series = { ...backtest, domain: ExecutionDomain.BACKTEST };
  const { strategyId } = row;
  const one = {
    strategyId,
    series,
    ...(backtest.endTime === undefined ? {} : { dataEndTime: backtest.endTime }),
  };
  await world.unary(DecisionService.method.reportReturns, { worldId, returns: [one] }, call);
}
