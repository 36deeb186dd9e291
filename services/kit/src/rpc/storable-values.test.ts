import { create, type DescMessage, type Message } from "@bufbuild/protobuf";
import { PublishRequestSchema } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import {
  SetTargetsRequestSchema,
  SubmitOrdersRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { ApplyRequestSchema } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import {
  CreateWorldRequestSchema,
  UpdateWorldRequestSchema,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { checkStorable } from "./storable-values.ts";

function refusalOf(desc: DescMessage, request: Message): QmtlError | undefined {
  try {
    checkStorable(desc, request);
    return undefined;
  } catch (failure) {
    if (failure instanceof QmtlError) return failure;
    throw failure;
  }
}

const marked = (watermarkMs: bigint) =>
  create(PublishRequestSchema, {
    records: [
      { computeKey: "a", leaseEpoch: 1n, seq: 0n },
      { computeKey: "b", leaseEpoch: 1n, body: { case: "mark", value: { watermarkMs } } },
    ],
  });

test("text with U+0000 is refused by its field, wherever it lies", () => {
  const request = create(CreateWorldRequestSchema, {
    requestId: "r",
    world: { worldId: "w", displayName: "a\0b" },
  });
  const plan = create(ApplyRequestSchema, { worldId: "w", plan: { activate: ["a", "b\0"] } });

  expect(refusalOf(CreateWorldRequestSchema, request)).toMatchObject({
    reason: "INVALID_FIELD",
    fields: [{ field: "world.display_name", description: "holds the character U+0000" }],
  });
  expect(refusalOf(ApplyRequestSchema, plan)).toMatchObject({
    fields: [{ field: "plan.activate[1]" }],
  });
});

test("a whole number that cannot be counted exactly is refused by its field, also in a oneof", () => {
  const wanted = create(SetTargetsRequestSchema, { update: { wantedOrders: 2n ** 64n - 1n } });

  expect(refusalOf(SetTargetsRequestSchema, wanted)).toMatchObject({
    fields: [{ field: "update.wanted_orders" }],
  });
  expect(refusalOf(PublishRequestSchema, marked(-(2n ** 63n)))).toMatchObject({
    fields: [{ field: "records[1].mark.watermark_ms" }],
  });
  expect(refusalOf(PublishRequestSchema, marked(2n ** 53n - 1n))).toBeUndefined();
  const farRecord = { computeKey: "a", leaseEpoch: 1n, seq: 2n ** 64n - 1n };
  const far = create(PublishRequestSchema, { records: [farRecord] });
  expect(refusalOf(PublishRequestSchema, far)).toMatchObject({
    fields: [{ field: "records[0].seq" }],
  });
});

test.each([
  [-62_135_596_801n, 0, false],
  [-62_135_596_800n, 0, true],
  [253_402_300_799n, 999_999_999, true],
  [253_402_300_800n, 0, false],
  [0n, -1, false],
  [0n, 1_000_000_000, false],
])("a time of %s s and %s ns is kept: %s", (seconds, nanos, isKept) => {
  const orders = [{ instrument: "ABC", bucketEndTime: { seconds, nanos } }];
  const request = create(SubmitOrdersRequestSchema, { orders });
  const field = refusalOf(SubmitOrdersRequestSchema, request)?.fields[0]?.field;

  expect(field).toBe(isKept ? undefined : "orders[0].bucket_end_time");
});

test.each([
  [10n ** 18n, 0, false],
  [-315_576_000_000n, 0, true],
  [315_576_000_001n, 0, false],
  [1n, -1, false],
  [0n, -999_999_999, true],
  [0n, -1_000_000_000, false],
])("a duration of %s s and %s ns is kept: %s", (seconds, nanos, isKept) => {
  const request = create(UpdateWorldRequestSchema, { world: { maxLag: { seconds, nanos } } });
  const field = refusalOf(UpdateWorldRequestSchema, request)?.fields[0]?.field;

  expect(field).toBe(isKept ? undefined : "world.max_lag");
});
