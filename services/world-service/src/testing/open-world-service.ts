import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { type Heartbeat, stateHash } from "@qmtl/core/gate";
import { loadConfig } from "@qmtl/sdk/config";
import {
  type CallContext,
  type CallPrincipal,
  SoleLeadership,
  silentLogger,
} from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import type { Db } from "@qmtl/service-kit/db";
import type { ManualClock } from "@qmtl/service-kit/testing";
import { gateStateOf, type SessionClaim } from "../apply/index.ts";
import { createWorldService, type WorldServiceInstance } from "../create-world-service.ts";
import { hashText } from "../store/hash-text.ts";
import type { WorldActor } from "../world/world-actor.ts";

/** A world service over a test database, called without a connection. */
export interface OpenWorldService {
  readonly instance: WorldServiceInstance;
  readonly db: Db;
  /** Calls a unary method as `role`. */
  call<M extends DescMethod & { methodKind: "unary" }>(
    method: M,
    init: MessageInitShape<M["input"] & DescMessage>,
    role?: CallPrincipal["role"],
    schemaVersion?: number,
  ): Promise<MessageShape<M["output"] & DescMessage>>;
  /** Calls a server stream and collects it. */
  collect<M extends DescMethod & { methodKind: "server_streaming" }>(
    method: M,
    init: MessageInitShape<M["input"] & DescMessage>,
    metadata?: ReadonlyMap<string, string>,
  ): Promise<MessageShape<M["output"] & DescMessage>[]>;
}

/** Opens the service over `dbOf`, whose databases share one store; two services over it see the same worlds. */
export async function openWorldService(
  dbOf: (schema: string) => Db,
  clock: ManualClock,
): Promise<OpenWorldService> {
  const config = await loadConfig({ cwd: "/", env: {} });
  const db = dbOf("world");
  const bus = await openEmbeddedBus({ db: dbOf("bus") });
  const leadership = new SoleLeadership(clock, "WorldService");
  const deps = { db, bus, clock, logger: silentLogger, config, leadership };
  const instance = await createWorldService(deps);
  await instance.start();
  const contextOf = (
    role: CallPrincipal["role"],
    more: Partial<CallContext> = {},
  ): CallContext => ({
    principal: { name: role === "owner" ? "local" : role, role },
    signal: new AbortController().signal,
    timeoutMs: undefined,
    metadata: new Map(),
    ...more,
  });
  const handlerOf = (method: DescMethod) => {
    const served = instance.services.find((s) => s.service.typeName === method.parent.typeName);
    const handlers: Record<string, unknown> = { ...served?.handlers };
    const handler = handlers[method.localName];
    if (typeof handler !== "function") throw new Error(`${method.name} is not built`);
    return handler as (request: unknown, context: CallContext) => unknown;
  };
  return {
    instance,
    db,
    async call(method, init, role = "owner", schemaVersion = 1) {
      const request = create(method.input as DescMessage, init);
      const answer = await handlerOf(method)(request, contextOf(role, { schemaVersion }));
      return create(method.output as DescMessage, answer as Record<string, unknown>) as never;
    },
    async collect(method, init, metadata = new Map()) {
      const request = create(method.input as DescMessage, init);
      const answers: unknown[] = [];
      const stream = handlerOf(method)(request, contextOf("owner", { metadata }));
      for await (const answer of stream as AsyncIterable<object>) {
        answers.push(create(method.output as DescMessage, answer as Record<string, unknown>));
      }
      return answers as never;
    },
  };
}

/** A session that obeys: it applies the state of the gate, shuts with it, and sends heartbeats. */
export class FakeSession {
  readonly claim: SessionClaim;
  readonly #actorOf: () => WorldActor;
  #seq = 0;
  /** False: it sends heartbeats, but never acknowledges a freeze. */
  obeys = true;

  constructor(actorOf: () => WorldActor, sessionId: string, strategyIds: readonly string[] | "*") {
    this.#actorOf = actorOf;
    const kind = strategyIds === "*" ? "router" : "sdk";
    const origin = { process: `host-of-${sessionId}:1`, startMs: 0 };
    this.claim = { sessionId, kind, scope: strategyIds, origin };
  }

  /** One heartbeat with the state as the world has it now. */
  beat(wantLease = true) {
    return this.#actorOf().heartbeat(this.claim, this.heartbeat(wantLease));
  }

  /** The next heartbeat, not sent. */
  heartbeat(wantLease = true): Heartbeat {
    const actor = this.#actorOf();
    const state = gateStateOf(actor.row);
    this.#seq += 1;
    return {
      sessionId: this.claim.sessionId,
      worldId: actor.worldId,
      heartbeatSeq: this.#seq,
      storeEpoch: state.storeEpoch,
      revision: state.revision,
      fence: state.fence,
      stateHash: stateHash(state, this.claim.scope, hashText),
      gateShut: this.obeys && state.gate !== "OPEN",
      inFlight: 0,
      wantLease,
      lateWrites: 0,
    };
  }
}

/** Moves time forward in steps of `stepMs`, each after what the step before started has been committed. */
export async function advance(
  clock: ManualClock,
  actorOf: () => WorldActor,
  ms: number,
  stepMs = 25,
): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    clock.advance(Math.min(stepMs, ms - passed));
    await actorOf().settled();
    await actorOf().exclusive(() => Promise.resolve());
  }
}

/** Lets an apply end: time moves while its run is in progress, never while something is being committed. */
export async function drive<T>(
  clock: ManualClock,
  actorOf: () => WorldActor,
  work: Promise<T>,
): Promise<T> {
  let hasEnded = false;
  const end = (): void => {
    hasEnded = true;
  };
  work.then(end, end);
  while (!hasEnded) {
    const actor = actorOf();
    await actor.settled();
    const state = actor.state.lastRun?.run.state;
    if (state === "FREEZING" || state === "SWITCHED" || state === "UNFROZEN") clock.advance(25);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return work;
}
