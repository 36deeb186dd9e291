import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CountedPlatform, startCountedPlatform } from "./testing/counted-platform.ts";
import { foreignSubmission } from "./testing/foreign-submission.ts";

let platform: CountedPlatform;
beforeAll(async () => {
  platform = await startCountedPlatform();
});
afterAll(() => platform[Symbol.asyncDispose]());

async function submit(name: string) {
  const gateway = platform.connection.client(GatewayService);
  const { submission } = await gateway.submitStrategy(foreignSubmission(name, ["w"]));
  for await (const _ of gateway.watchSubmission({ submissionId: submission!.submissionId }));
}

const texts = () =>
  platform.sent.map(({ schema, sql }) => `${schema}: ${sql.replaceAll(/\s+/g, " ").slice(0, 100)}`);

test("a platform on which nothing happens reads, and writes nothing", async () => {
  await submit("before");
  // What was to be written later is written by then.
  await platform.pass(3_000);
  platform.sent.length = 0;

  await platform.pass(10_000);

  await waitUntil(() => platform.sent.length > 10);
  expect(texts().filter((text) => !/^\w+: select\b/.test(text))).toEqual([]);
});
