import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  SetTargetsRequest,
  SetTargetsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { hasReason } from "@qmtl/sdk/rpc";
import type { BarrierEnds, TicketClaims } from "../ports.ts";
import { targetsAnswer, targetsCallFrom } from "../rpc/order-targets.ts";
import type { AccountRouter } from "./account-router.ts";
import type { Ends } from "./ends.ts";
import type { FeedRows } from "./feed-rows.ts";
import type { TargetVerdict } from "./take-targets.ts";
import type { TargetsCall } from "./targets-call.ts";
import { TargetsIntake } from "./targets-intake.ts";
import { checkTicketCovers } from "./ticket-scope.ts";
import type { WorldDesk } from "./world-desk.ts";

export interface TargetsDeskPorts {
  readonly desk: WorldDesk;
  readonly feeds: FeedRows;
  readonly ends: Ends;
  readonly barrier: BarrierEnds;
  /** Throws ACCOUNT_NOT_FOUND. */
  readonly routerOfAccount: (accountId: string) => AccountRouter;
}

/** SetTargets: a runner's targets, and its end of a bucket, which counts whatever becomes of them. */
export class TargetsDesk {
  readonly #ports: TargetsDeskPorts;
  readonly #intakes = new Map<AccountRouter, TargetsIntake>();

  constructor(ports: TargetsDeskPorts) {
    this.#ports = ports;
  }

  async set(
    request: SetTargetsRequest,
    claims: TicketClaims,
  ): Promise<MessageInitShape<typeof SetTargetsResponseSchema>> {
    const { barrier, feeds } = this.#ports;
    const call = targetsCallFrom(request);
    const { world, claim, targets } = call;
    const strategies = [...call.strategies, ...targets.map((one) => one.strategy)];
    checkTicketCovers({ world, sessionId: claim.sessionId, strategies }, claims);
    const verdicts = await this.#take(call).catch((failure: unknown) => {
      // A world without an account here takes no target; its buckets end all the same.
      if (!hasReason(failure, "ACCOUNT_NOT_FOUND")) throw failure;
      return call.targets.map(() => refused(failure.reason));
    });
    if (call.source !== "") {
      const { world: worldId, isArmed, endRow: row } = call;
      const { sessionId } = call.claim;
      barrier.ended(call.source, { sessionId, worldId, row, isArmed });
    }
    return targetsAnswer(request, verdicts, call.source === "" ? 0 : feeds.bookedRow(call.source));
  }

  async #take(call: TargetsCall): Promise<readonly TargetVerdict[]> {
    const { desk, feeds, ends, barrier, routerOfAccount } = this.#ports;
    const world = await desk.open(call.world);
    const router = routerOfAccount(world.accountId);
    const { claim, targets } = call;
    const why = feeds.isMarked(call.source) ? barrier.whyUnbooked(call.source) : undefined;
    // Its rows are never booked: waiting for them would end in a refusal that explains nothing.
    if (why !== undefined) return targets.map(() => refused(`CONFIG_INVALID: ${why}`));
    await feeds.settled(call.source, call.endRow);
    if (targets.length > 0 && call.isArmed) await desk.ready(call.world, claim, targets);
    const verdicts = await this.#intakeOf(router).take(() => ({
      world,
      claim,
      targets,
      alongside: ends.plan({ ...call, sessionId: claim.sessionId }),
    }));
    this.#restate(call, router);
    return verdicts;
  }

  #intakeOf(router: AccountRouter): TargetsIntake {
    let intake = this.#intakes.get(router);
    if (intake === undefined) {
      intake = new TargetsIntake(router);
      this.#intakes.set(router, intake);
    }
    return intake;
  }

  #restate(call: TargetsCall, router: AccountRouter): void {
    const { desk, ends } = this.#ports;
    const door = desk.doors.get(call.world);
    const edge = router.market.edge(call.source);
    if (edge === undefined || call.endRow > edge.row) return;
    for (const strategy of call.strategies) {
      ends.heard(call.world, strategy, edge.bucket);
      if (door?.emitterOf(strategy) === call.claim.sessionId) {
        ends.restated(call.world, strategy, edge.bucket);
      }
    }
  }
}

const refused = (reason: string): TargetVerdict => ({ accepted: false, reason, orders: [] });
