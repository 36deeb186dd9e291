import type { DescMessage, DescMethod } from "@bufbuild/protobuf";
import { accessOf } from "@qmtl/service-kit";
import { minimalRequest } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, startKeyedPlatform } from "./testing/keyed-platform.ts";
import { type Path, withValue } from "./testing/with-value.ts";

/** Names that exist, by the field that takes them. */
const THERE = { world_id: "w", account_id: "main", source: "day", sources: "day", instrument: "X" };
const ABSENT = "no-such-name";
/** Fields that name something. */
const NAMING = /^(source|sources|instrument|.*_ids?|.*_keys?)$/;

/** Names that the caller makes up, so that nothing needs to exist; deletions, too, may be repeated. */
const FREE = new Set([
  "AccountService.BookAdjustment request_id",
  "RebalancingService.UpsertAllocations request_id",
  "RebalancingExecutionService.ExecuteRebalance batch_id",
  // Each order has a result of its own, NOT_FOUND among them.
  "OrderService.CancelOrders orders.client_order_ids",
  // Nodes of any strategy, which WorldService does not know.
  "WorldService.UpsertEdgeOverride edge.source",
  "QueueService.DeleteReplayRunner session_id",
]);

/** Methods that remove what the others need: called last. */
const LAST: ReadonlySet<string> = new Set(["DeleteWorld", "Halt"]);

let platform: KeyedPlatform;
beforeAll(async () => {
  platform = await startKeyedPlatform();
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

function namesOf(message: DescMessage, above: Path = []): Path[] {
  return message.fields.flatMap((field): Path[] => {
    const path = [...above, field];
    const inner = field.message;
    if (inner === undefined) return NAMING.test(field.name) ? [path] : [];
    const isKnown = above.some((each) => each.message === inner);
    return isKnown || inner.typeName.startsWith("google.") ? [] : namesOf(inner, path);
  });
}

const callerOf = (method: DescMethod) => {
  const { roles } = accessOf(method);
  return (["owner", "adapter"] as const).find((role) => roles.has(role));
};

test("no call that is answered is answered with a name in it that names nothing", async () => {
  const answered: string[] = [];
  const refused: string[] = [];
  const methods = gatewayContracts.flatMap((service) => service.methods as readonly DescMethod[]);
  for (const method of methods.filter(({ name }) => !LAST.has(name))) {
    const caller = callerOf(method);
    if (caller === undefined) continue;
    const minimal = minimalRequest(method.input, THERE);
    for (const path of namesOf(method.input)) {
      const [name, known] = [path.map((each) => each.name).join("."), path.at(-1)!.name];
      const label = `${method.parent.name}.${method.name} ${name}`;
      const isThere = Object.hasOwn(THERE, known);
      const right = isThere
        ? withValue(minimal, path, THERE[known as keyof typeof THERE], THERE)
        : minimal;
      // Where even existing names are refused, a refusal would prove nothing.
      if (FREE.has(label) || (await platform.call(caller, method, right)).refusal) continue;
      const outcome = await platform.call(caller, method, withValue(minimal, path, ABSENT, THERE));
      (outcome.refusal === undefined ? answered : refused).push(label);
    }
  }

  expect(answered).toEqual([]);
  expect(refused.length).toBeGreaterThan(20);
}, 300_000);
