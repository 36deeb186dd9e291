import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { OrderType, TimeInForce } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { reasonName } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BadInputStack, bucketEndOf } from "./bad-input-stack.ts";
import { haltCases } from "./halt-cases.ts";
import { booked, type Emitter, LAST_ROW, reachPaper, state } from "./paper-emitter.ts";
import { refusalOf } from "./refusals.ts";

/** Targets and direct orders that must book nothing, and an apply while another runs. */
export function orderCases(at: () => BadInputStack): void {
  // The last test waits until a lease runs out.
  describe("a strategy on paper:", { timeout: 120_000 }, () => {
    let emitter: Emitter;
    beforeAll(async () => {
      emitter = await reachPaper(at());
    }, 240_000);
    afterAll(async () => {
      emitter?.runner.child.kill("SIGCONT");
      await emitter?.runner.end();
    });
    const now = () => emitter;
    claimCases(now);
    formCases(now);
    senderCases(now);
    directCases(now);
    haltCases(now);
    limitCases(now);
    applyCases(now);
  });
}

type Change = (emitter: Emitter) => Parameters<typeof state>[1];

function claimCases(now: () => Emitter): void {
  const cases: readonly { what: string; reason: string; change: Change }[] = [
    {
      what: "under a stale fence",
      reason: "FENCE_STALE",
      change: ({ fence }) => ({ fence: fence - 1n }),
    },
    {
      what: "under a fence that is not there yet",
      reason: "FENCE_STALE",
      change: ({ fence }) => ({ fence: fence + 1n }),
    },
    {
      what: "of a sender whose gate is shut",
      reason: "GATE_SHUT",
      change: () => ({ leaseId: "" }),
    },
    {
      what: "under the lease of another session",
      reason: "LEASE_MISSING",
      change: () => ({ leaseId: "another-session/1" }),
    },
    {
      what: "of the live domain",
      reason: "DOMAIN_MISMATCH",
      change: () => ({ domain: ExecutionDomain.LIVE }),
    },
    {
      what: "above the weight that its submission declares",
      reason: "OVER_LIMIT",
      change: () => ({ value: -1.001 }),
    },
    {
      what: "of an unknown instrument",
      reason: "INSTRUMENT_NOT_FOUND",
      change: () => ({ instrument: "Y" }),
    },
  ];
  test.each(cases)("a target $what is $reason, and nothing is booked", async (each) => {
    const before = await booked(now().at);

    const { results } = await state(now(), each.change(now()));

    expect(results).toMatchObject([{ accepted: false, reason: each.reason, clientOrderIds: [] }]);
    expect(await booked(now().at)).toEqual(before);
  });
}

function formCases(now: () => Emitter): void {
  const cases: readonly {
    what: string;
    reason: string;
    field: string;
    change: Parameters<typeof state>[1];
  }[] = [
    {
      what: "of no domain",
      reason: "INVALID_FIELD",
      field: "update.claim.domain",
      change: { domain: ExecutionDomain.UNSPECIFIED },
    },
    {
      what: "without a strategy",
      reason: "INVALID_FIELD",
      field: "update.targets[0].strategy_id",
      change: { strategyId: "" },
    },
    {
      what: "in a unit that is not built",
      reason: "FEATURE_NOT_BUILT",
      field: "update.targets[0].quantity",
      change: { size: { case: "quantity", value: { value: "1" } } },
    },
  ];
  test.each(cases)("a target $what is $reason, and nothing is booked", async (each) => {
    const before = await booked(now().at);

    const refusal = await refusalOf(state(now(), each.change));

    expect(refusal).toMatchObject({ reason: each.reason, fields: [each.field] });
    expect(await booked(now().at)).toEqual(before);
  });
}

function senderCases(now: () => Emitter): void {
  test("a target of another session than the emitter is NOT_EMITTER", async () => {
    const { at, strategyId } = now();
    const { ticket } = await at.connection.client(ControlStreamService).issueTicket({
      worldId: "w",
      strategyIds: [strategyId],
      rights: [TicketRight.TRADE],
    });
    const before = await booked(at);

    const { results } = await state(now(), { ticket });

    expect(results).toMatchObject([{ accepted: false, reason: "NOT_EMITTER" }]);
    expect(await booked(at)).toEqual(before);
  });

  test("a target of a strategy that the ticket does not cover is refused whole", async () => {
    const before = await booked(now().at);

    expect(await refusalOf(state(now(), { strategyId: "somebody-else" }))).toMatchObject({
      status: "PermissionDenied",
      reason: "TICKET_SCOPE",
    });
    expect(await booked(now().at)).toEqual(before);
  });
}

function directCases(now: () => Emitter): void {
  const direct = async (change: DirectChange = {}) => {
    const { at, ticket, fence, strategyId, sessionId } = now();
    const { requestId = "direct", leaseId = `${sessionId}/1`, row = 0, ...order } = change;
    const { results } = await at.connection.client(OrderService).submitOrders({
      ticket,
      claim: { leaseId, fence, domain: ExecutionDomain.DRYRUN },
      orders: [
        {
          strategyId,
          instrument: "X",
          quantity: { value: "1" },
          type: OrderType.MARKET,
          bucketEndTime: timestampFromMs(bucketEndOf(row)),
          ...order,
        },
      ],
      requestId,
    });
    return { results: results.map((one) => ({ ...one, reason: reasonName(one.reason) ?? "" })) };
  };

  const cases: readonly { what: string; reason: string; change: DirectChange }[] = [
    { what: "without a lease", reason: "GATE_SHUT", change: { leaseId: "" } },
    {
      what: "of an unknown instrument",
      reason: "INSTRUMENT_NOT_FOUND",
      change: { instrument: "Y" },
    },
    { what: "of a bucket from before the gate opened", reason: "BUCKET_STALE", change: {} },
  ];
  test.each(cases)("a direct order $what is $reason, and nothing is booked", async (each) => {
    const { at } = now();
    const before = await booked(at);

    const { results } = await direct({ requestId: each.what, ...each.change });

    expect(results).toMatchObject([{ accepted: false, reason: each.reason, clientOrderIds: [] }]);
    expect(await booked(at)).toEqual(before);
  });

  test.each([
    ["type", { type: OrderType.UNSPECIFIED }, "INVALID_FIELD"],
    ["time_in_force", { timeInForce: TimeInForce.DAY }, "FEATURE_NOT_BUILT"],
  ])(
    "direct orders without a %s that is served are refused whole",
    async (field, change, reason) => {
      const before = await booked(now().at);

      const refusal = await refusalOf(direct({ requestId: field, ...change }));

      expect(refusal).toMatchObject({
        reason,
        fields: [`orders[0].${field}`],
      });
      expect(await booked(now().at)).toEqual(before);
    },
  );

  test("direct orders under a request id that stood for others are REQUEST_ID_REUSED", async () => {
    const { at } = now();
    const first = await direct();
    const before = await booked(at);

    expect((await direct()).results).toEqual(first.results);
    expect(await refusalOf(direct({ quantity: { value: "2" } }))).toMatchObject({
      status: "Aborted",
      reason: "REQUEST_ID_REUSED",
    });
    expect(await booked(at)).toEqual(before);
  });

  test("a direct order for a strategy that the ticket does not cover is TICKET_SCOPE", async () => {
    const before = await booked(now().at);

    expect(await refusalOf(direct({ strategyId: "somebody-else" }))).toMatchObject({
      status: "PermissionDenied",
      reason: "TICKET_SCOPE",
    });
    expect(await booked(now().at)).toEqual(before);
  });
}

interface DirectChange {
  readonly requestId?: string;
  readonly leaseId?: string;
  readonly strategyId?: string;
  readonly instrument?: string;
  readonly row?: number;
  readonly type?: OrderType;
  readonly timeInForce?: TimeInForce;
  readonly quantity?: { readonly value: string };
}

function limitCases(now: () => Emitter): void {
  test("a target over the largest order, or the largest gross, makes no order; one within both does", async () => {
    const { at } = now();

    const tooLarge = await state(now(), { value: 0.0075 });
    const none = await booked(at);
    const within = await state(now(), { value: 0.004 });
    const one = await booked(at);
    const tooMuch = await state(now(), { value: 0.0085 });

    expect(tooLarge.results).toMatchObject([{ reason: "OVER_LIMIT", clientOrderIds: [] }]);
    expect(none.orders).toEqual([]);
    expect(within.results).toMatchObject([{ accepted: true, reason: "" }]);
    expect(one.orders).toHaveLength(1);
    expect(tooMuch.results).toMatchObject([{ reason: "OVER_LIMIT", clientOrderIds: [] }]);
    expect((await booked(at)).orders).toEqual(one.orders);
  });

  test("a target of an older bucket than the last one is BUCKET_STALE", async () => {
    const { results } = await state(now(), { row: LAST_ROW - 1 });

    expect(results).toMatchObject([{ accepted: false, reason: "BUCKET_STALE" }]);
  });
}

function applyCases(now: () => Emitter): void {
  test("an apply while another one runs is APPLY_IN_PROGRESS, and no run is stored", async () => {
    const { at, runner, strategyId } = now();
    const applies = at.connection.client(ActivationService);
    const runs = async () => {
      const { runs: all } = await applies.listApplyRuns({ worldId: "w" });
      return all.map(({ runId }) => runId);
    };
    // The apply waits for a runner that does not answer until its lease has run out.
    runner.child.kill("SIGSTOP");
    const plan = { activate: [], deactivate: [strategyId] };
    const apply = async (runId: string): Promise<void> => {
      const ask = {
        worldId: "w",
        runId,
        targetMode: EffectiveMode.PAPER,
        plan,
        reason: "the test",
      };
      for await (const _ of applies.apply(ask));
    };
    const first = apply("first");
    await expect.poll(runs, { timeout: 60_000 }).toContain("first");

    const refused = await refusalOf(apply("second"));

    expect(refused).toMatchObject({ status: "Aborted", reason: "APPLY_IN_PROGRESS" });
    expect(await runs()).not.toContain("second");
    runner.child.kill("SIGCONT");
    await first;
  });
}
