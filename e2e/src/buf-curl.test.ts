import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Stack, startStack } from "./harness/start-stack.ts";

const buf = fileURLToPath(new URL("../../node_modules/.bin/buf", import.meta.url));

/** Longest call, milliseconds; one that still runs then is killed. */
const callMsMax = 60_000;

/**
 * Runs the call that README.md tells an operator to type, against a running platform. `onText` gets all output so far;
 * when it returns true, the call is ended.
 */
function curl(
  stack: Stack,
  method: string,
  request: unknown,
  onText: (text: string) => boolean = () => false,
): Promise<string> {
  const list = method === "list";
  const target = list ? [stack.gatewayUrl, "--list-services"] : [`${stack.gatewayUrl}/${method}`];
  const body = list ? [] : ["--data", JSON.stringify(request)];
  const args = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", ...body, ...target];
  return new Promise((resolve, reject) => {
    // A process group of its own: the command is a script that starts the program.
    const child = spawn(buf, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    const stop = (): void => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
    };
    const timer = setTimeout(stop, callMsMax);
    let seen = "";
    let errors = "";
    let isEnough = false;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
      if (isEnough || !onText(seen)) return;
      isEnough = true;
      stop();
    });
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      if (code === 0 || isEnough) resolve(seen);
      else reject(new Error(errors));
    });
  });
}

describe("an operator with buf curl", () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
    await stack.qmtl("world", "create", "ops");
  }, 150_000);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  test("lists the services of the gateway", async () => {
    const services = await curl(stack, "list", undefined);

    expect(services).toContain("qmtl.gateway.v1.GatewayService");
    expect(services).toContain("qmtl.world.v1.DecisionService");
  });

  test("asks a world what it allows", async () => {
    const answer = await curl(stack, "qmtl.world.v1.DecisionService/Decide", { worldId: "ops" });

    expect(JSON.parse(answer)).toMatchObject({
      decision: {
        worldId: "ops",
        effectiveMode: "EFFECTIVE_MODE_VALIDATE",
        executionDomain: "EXECUTION_DOMAIN_BACKTEST",
      },
    });
  });

  test("takes a ticket, is given a snapshot, then one change", async () => {
    const issued = await curl(stack, "qmtl.gateway.v1.ControlStreamService/IssueTicket", {
      worldId: "ops",
      rights: ["TICKET_RIGHT_OBSERVE"],
    });
    const { ticket } = JSON.parse(issued) as { ticket: string };

    let change: Promise<string> | undefined;
    const subscribe = "qmtl.gateway.v1.ControlStreamService/Subscribe";
    const text = await curl(stack, subscribe, { ticket }, (seen) => {
      if (seen.includes('"snapshot"'))
        change ??= stack.qmtl("world", "freeze", "ops", "--reason", "to see it");
      return seen.includes('"change": "GATE_CHANGE_FREEZE"');
    });
    await change;

    expect(text.replaceAll(/\s/g, "")).toContain('"snapshot":{"gate":{"worldId":"ops"');
    expect(text.indexOf('"snapshot"')).toBeLessThan(text.indexOf('"change"'));
  });

  test("is told the reason of a refusal", async () => {
    const refused = curl(stack, "qmtl.world.v1.DecisionService/Decide", { worldId: "nowhere" });

    const text = await refused.catch((failure: Error) => failure.message);
    expect(text).toContain('"code": "not_found"');
    const [, details = ""] = /"value": "([^"]+)"/.exec(text) ?? [];
    expect(Buffer.from(details, "base64").toString()).toContain("WORLD_NOT_FOUND");
  });
});
