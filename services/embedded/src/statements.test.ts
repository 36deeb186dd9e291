import { setTimeout } from "node:timers/promises";
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

/** Statements as they were sent, one line each, of one schema or of all. */
const texts = (schemaOf = "") =>
  platform.sent
    .filter(({ schema }) => schemaOf === "" || schema === schemaOf)
    .map(({ schema, sql }) => `${schema}: ${sql.replaceAll(/\s+/g, " ").slice(0, 100)}`);

const isRead = (text: string) => /^\w+: select\b/.test(text);

/** Resolves when no service sends statements any more. */
async function settled(): Promise<void> {
  for (let sent = -1; sent !== platform.sent.length; ) {
    sent = platform.sent.length;
    await setTimeout(100);
  }
}

test("a platform on which nothing happens reads, and writes nothing", async () => {
  await submit("before");
  // What was to be written later is written by then.
  await platform.pass(3_000);
  platform.sent.length = 0;

  await platform.pass(10_000);

  await waitUntil(() => platform.sent.length > 10);
  expect(texts().filter((text) => !isRead(text))).toEqual([]);
});

test("a submission takes at most ten statements, from the call to the last event", async () => {
  await submit("first");
  for (const name of ["second", "third", "fourth"]) {
    await settled();
    platform.sent.length = 0;

    await submit(name);

    await settled();
    expect(texts("world"), "bind").toHaveLength(1);
    expect(texts("dag"), "read the graph, add to it").toHaveLength(2);
    expect(
      texts("gateway").filter((text) => !isRead(text)),
      "accept, finish",
    ).toHaveLength(2);
    // A watcher that comes once it is completed reads it.
    expect(texts("gateway").filter(isRead).length, texts("gateway").join("\n")).toBeLessThanOrEqual(
      1,
    );
    // Events of accepting, of the graph, of the outcome; what is stored soon after the other goes with it.
    expect(texts("bus").length, texts("bus").join("\n")).toBeLessThanOrEqual(3);
    expect(platform.sent.length, texts().join("\n")).toBeLessThanOrEqual(10);
  }
});
