import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import { grpcurlTool } from "../smoke/grpcurl-tool.ts";
import { describeWithTool } from "../smoke/suite-of-tool.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const buf = fileURLToPath(new URL("../../node_modules/.bin/buf", import.meta.url));

describe("an operator without this repository", () => {
  let example: ExampleProject;
  beforeAll(async () => {
    const { program = "grpcurl" } = grpcurlTool();
    example = await openExample("grpcurl-session", { BUF: buf, GRPCURL: program });
    const up = "npx qmtl up                                        # stays";
    await example.typeStaying(up).waitFor(/ready/);
    await example.type("npx qmtl world create ops");
  });
  afterAll(() => example?.[Symbol.asyncDispose]());

  test("asks, is refused and watches with buf curl", async () => {
    const session = await example.type("bash session.sh buf 127.0.0.1:7400 ops");

    checkSession(session);
    const [, details = ""] = /"value": "([^"]+)"/.exec(session) ?? [];
    expect(Buffer.from(details, "base64").toString()).toContain("WORLD_NOT_FOUND");
  });

  describeWithTool("and with grpcurl", grpcurlTool(), () => {
    test("does the same, and sees messages with their comments", async () => {
      const session = await example.type("bash session.sh grpcurl 127.0.0.1:7400 ops");

      checkSession(session);
      expect(session).toContain('"reason": "WORLD_NOT_FOUND"');
      expect(session).toContain("// What a world allows now.");
      expect(example.untyped()).toEqual([]);
    });
  });
});

/** What both tools show. */
function checkSession(session: string): void {
  expect(session).toContain("qmtl.gateway.v1.GatewayService");
  expect(session).toMatch(/qmtl\.world\.v1\.DecisionService[\s\S]*Evaluate/);
  expect(session).toContain('"effectiveMode": "EFFECTIVE_MODE_VALIDATE"');
  expect(session).toContain('"executionDomain": "EXECUTION_DOMAIN_BACKTEST"');
  expect(session).toContain("there is no world nowhere");
  const stream = session.slice(session.indexOf("== the control stream"));
  expect(stream).toMatch(/"snapshot"[\s\S]*"GATE_OPEN"[\s\S]*"change": "GATE_CHANGE_FREEZE"/);
  expect(stream).toMatch(/the world is opened again[\s\S]*"fence": "\d"/);
}
