import { type ControlEvent, Topic } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { Gate } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService, OrderTier } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { HaltTarget } from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { expect, test } from "vitest";
import { booked, type Emitter, state } from "./paper-emitter.ts";
import { refusalOf } from "./refusals.ts";

const reason = "the test";
const serviceOf = ({ at }: Emitter) => at.connection.client(OrderService);

/** Tests of halts, as an operator sets, ends and follows them. */
export function haltCases(now: () => Emitter): void {
  const service = () => serviceOf(now());
  const inForce = async () => (await service().listHalts({})).halts;
  const typos: readonly [HaltTarget["target"], string, string][] = [
    [{ case: "worldId", value: "typo" }, "WORLD_NOT_FOUND", "target.world_id"],
    [{ case: "accountId", value: "typo" }, "ACCOUNT_NOT_FOUND", "target.account_id"],
    [{ case: "strategyId", value: "typo" }, "STRATEGY_NOT_FOUND", "target.strategy_id"],
  ];
  test.each(typos)("a halt of %o is %s, and nothing is halted", async (target, name, field) => {
    const before = await booked(now().at);

    const refusal = await refusalOf(service().halt({ target: { target }, reason }));

    expect(refusal).toMatchObject({ status: "NotFound", reason: name, fields: [field] });
    expect(await inForce()).toEqual([]);
    expect(await booked(now().at)).toEqual(before);
  });

  test("a halt of nothing, and a resume or cancel of nothing, are refused with the field", async () => {
    const refusals = [
      await refusalOf(service().halt({ reason })),
      await refusalOf(service().halt({ target: {}, reason })),
      await refusalOf(service().resume({ reason })),
      await refusalOf(service().cancelOrders({ reason })),
    ];

    expect(refusals.map(({ reason: name, fields }) => [name, fields[0]])).toEqual([
      ["INVALID_FIELD", "target"],
      ["INVALID_FIELD", "target.target"],
      ["INVALID_FIELD", "which"],
      ["INVALID_FIELD", "scope"],
    ]);
    expect(await inForce()).toEqual([]);
  });

  test("the halt of everything keeps a target from acting and names itself, until it is ended", async () => {
    const target = { target: { case: "everything", value: {} } } as const;
    const { halt } = await service().halt({ target, reason });
    const before = await booked(now().at);

    const { results } = await state(now(), { value: 0.004 });

    expect(results).toMatchObject([{ reason: "HALTED", haltIds: [halt?.haltId] }]);
    expect((await booked(now().at)).orders).toEqual(before.orders);
    await state(now(), { value: 0 });
    const ended = await service().resume({ which: { case: "target", value: target }, reason });
    const again = service().resume({ which: { case: "haltId", value: halt!.haltId }, reason });
    expect(ended).toMatchObject({ inForce: [], clientOrderIds: [] });
    expect(await refusalOf(again)).toMatchObject({ status: "NotFound", reason: "HALT_NOT_FOUND" });
  });
  explainCase(now);
  followCases(now);
}

function explainCase(now: () => Emitter): void {
  test("a halted strategy is explained with the halts that cover it, its gate, its tier and its capital", async () => {
    const { at, strategyId, sessionId } = now();
    const service = serviceOf(now());
    const explain = () =>
      at.connection.client(GatewayService).explainStrategy({ worldId: "w", strategyId });
    const target = { target: { case: "strategyId", value: strategyId } } as const;
    const { halt } = await service.halt({ target, reason });

    const halted = await explain();
    await service.resume({ which: { case: "haltId", value: halt!.haltId }, reason });

    expect(halted).toMatchObject({
      gate: Gate.OPEN,
      holds: [],
      halts: [halt],
      tier: OrderTier.T3,
      emitterSessionId: sessionId,
    });
    expect(Number(halted.capital?.value)).toBeGreaterThan(0);
    expect(halted.summary).toContain(
      `Halted: strategy ${strategyId} (${halt?.haltId}: ${reason}).`,
    );
    const { halts, summary } = await explain();
    expect(halts).toEqual([]);
    expect(summary).not.toContain("Halted");
  });
}

function followCases(now: () => Emitter): void {
  test("a subscriber to halts and orders gets the current state, then each change", async () => {
    const { at, strategyId } = now();
    const service = serviceOf(now());
    const streams = at.connection.client(ControlStreamService);
    const { ticket, topicKeys } = await streams.issueTicket({
      worldId: "w",
      strategyIds: [strategyId],
      rights: [TicketRight.OBSERVE],
      topics: [Topic.HALT, Topic.ORDER],
    });
    const world = { target: { case: "worldId", value: "w" } } as const;
    const first = await service.halt({ target: world, reason });
    const stop = new AbortController();
    const told: ControlEvent[] = [];
    const reading = (async () => {
      for await (const { event } of streams.subscribe({ ticket }, { signal: stop.signal })) {
        if (event !== undefined && event.topicKey !== "") told.push(event);
      }
    })().catch(() => {});
    const of = (key: string) => told.filter(({ topicKey }) => topicKey === key);
    try {
      await expect.poll(() => told.length, { timeout: 20_000 }).toBe(2);
      const second = await service.halt({ target: world, reason: "another reason" });
      await service.resume({ which: { case: "target", value: world }, reason });
      await expect.poll(() => of("halt").length, { timeout: 20_000 }).toBe(3);

      expect([...topicKeys].sort()).toEqual(["halt", "world/w/order"]);
      expect(of("world/w/order")[0]?.payload).toMatchObject({
        case: "snapshot",
        value: { state: { case: "orders" } },
      });
      const [state, changed, ended] = of("halt").map(({ payload }) => payload);
      expect(state).toMatchObject({
        value: { state: { case: "halts", value: { halts: [first.halt] } } },
      });
      expect(changed).toMatchObject({ case: "haltsUpdated", value: { halts: [second.halt] } });
      expect(ended).toMatchObject({ case: "haltsUpdated", value: { halts: [] } });
      const [at0, at1, at2] = of("halt").map(({ revision }) => revision);
      expect([at1, at2]).toEqual([at0! + 1n, at0! + 2n]);
    } finally {
      stop.abort();
      await reading;
    }
  });
}
