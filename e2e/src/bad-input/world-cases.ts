import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { describe, expect, test } from "vitest";
import type { BadInputStack } from "./bad-input-stack.ts";
import { commandRefusal, refusalOf } from "./refusals.ts";

const POLICIES = [
  {
    what: "YAML that ends in the middle",
    document: "thresholds:\n  dd: {metric: max_drawdown_ratio, max: 0.5\n",
    place: "document:3:1",
  },
  {
    what: "a key nobody knows",
    document:
      "thresholds:\n  dd: {metric: max_drawdown_ratio, max: 0.5}\ntop_q: {metric: sharpe, k: 3}\n",
    place: "document:3:1 top_q",
  },
  {
    what: "a duration that is none",
    document: "min_samples: 20\nmax_lag: never\n",
    place: "document:2:10",
  },
];

/** Tests of worlds and policies that must be refused. */
export function worldCases(at: () => BadInputStack): void {
  describe("a world that is not there", () => {
    test("is WORLD_NOT_FOUND at every server", async () => {
      const { connection } = at();
      const worldId = "nowhere";
      const apply = async (): Promise<void> => {
        const targetMode = EffectiveMode.COMPUTE_ONLY;
        const ask = { worldId, runId: "r", targetMode, reason: "the test" };
        const phases = connection.client(ActivationService).apply(ask);
        for await (const _ of phases);
      };
      const calls = [
        connection.client(WorldService).getWorld({ worldId }),
        connection.client(DecisionService).decide({ worldId }),
        connection
          .client(PolicyService)
          .createPolicy({ worldId, document: "min_samples: 1", requestId: "r" }),
        connection
          .client(ControlStreamService)
          .issueTicket({ worldId, rights: [TicketRight.OBSERVE] }),
        apply(),
      ];
      for (const call of calls) {
        expect(await refusalOf(call)).toMatchObject({
          status: "NotFound",
          reason: "WORLD_NOT_FOUND",
        });
      }
    });
  });

  describe("a policy with", () => {
    test.each(POLICIES)("$what is refused with line and column", async ({ document, place }) => {
      const before = await at().stored();

      const call = at()
        .connection.client(PolicyService)
        .createPolicy({ worldId: "w", document, requestId: "r" });
      const { status, reason, fields } = await refusalOf(call);

      expect({ status, reason }).toEqual({ status: "InvalidArgument", reason: "POLICY_INVALID" });
      expect(fields[0]).toContain(place);
      expect(await at().stored()).toBe(before);
    });

    test("a fault is shown by `qmtl policy add`, with exit code 1", async () => {
      const { call, stack } = at();
      await writeFile(join(stack.folder, "bad.yml"), POLICIES[0]!.document);

      expect(await commandRefusal(call("policy", "add", "w", "bad.yml"))).toMatchObject({
        exitCode: 1,
        reason: "POLICY_INVALID",
      });
    });
  });
}
