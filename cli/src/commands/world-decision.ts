import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import {
  DecisionEnvelopeSchema,
  DecisionService,
  EvaluationSchema,
  MetricInfoSchema,
} from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { enumName, jsonOf, printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";
import { readTextFile } from "./policy.ts";

/** `qmtl world decide|evaluate|deactivate|metrics`: what the policy allows, and judging by it. */
export function addDecisionCommands(world: Command): void {
  world
    .command("decide <world>")
    .description("what the world allows now, and why")
    .addHelpText("after", "\nExample:\n  qmtl world decide demo")
    .action(
      withSession(async (session, worldId: string) => {
        const { decision } = await session.client(DecisionService).decide({ worldId });
        if (!decision) throw new CommandError("the answer holds no decision");
        if (session.asJson) return printJson(jsonOf(DecisionEnvelopeSchema, decision));
        console.log(`${enumName(EffectiveMode, decision.effectiveMode)}: ${decision.reason}`);
      }),
    );

  world
    .command("evaluate <world>")
    .description("judge the strategies by the policy; what no longer passes is lowered at once")
    .option("--dry-run", "judge only, change nothing")
    .option("--policy <file>", "judge by a candidate policy; needs --dry-run")
    .addHelpText("after", "\nExample:\n  qmtl world evaluate demo --dry-run --policy candidate.yml")
    .action(
      withSession(
        async (session, worldId: string, options: { dryRun?: boolean; policy?: string }) => {
          const policyDocument = options.policy === undefined ? "" : readTextFile(options.policy);
          const { evaluation } = await session
            .client(DecisionService)
            .evaluate({ worldId, validateOnly: options.dryRun === true, policyDocument });
          if (!evaluation) throw new CommandError("the answer holds no evaluation");
          if (session.asJson) return printJson(jsonOf(EvaluationSchema, evaluation));
          for (const strategy of evaluation.strategies) {
            const change =
              strategy.stageBefore === strategy.stageAfter
                ? enumName(EffectiveMode, strategy.stageAfter)
                : `${enumName(EffectiveMode, strategy.stageBefore)} -> ${enumName(EffectiveMode, strategy.stageAfter)}`;
            console.log(
              `${strategy.strategyId}  ${strategy.selected ? "passes" : "fails"}  ${change}  may reach ${enumName(EffectiveMode, strategy.mayReach)}`,
            );
            for (const rule of strategy.rules)
              console.log(`  ${rule.verdict.padEnd(14)} ${rule.text}`);
          }
        },
      ),
    );

  world
    .command("deactivate <world> <strategy>")
    .description("switch a strategy off at once; switching on needs apply")
    .addHelpText("after", "\nExample:\n  qmtl world deactivate demo momentum")
    .option("--reason <text>", "why; audited", "switched off by the operator")
    .action(
      withSession(async (session, worldId: string, name: string, options: { reason: string }) => {
        const strategyId = await session.strategyId(worldId, name);
        await session
          .client(ActivationService)
          .setActivation({ worldId, strategyId, active: false, reason: options.reason });
        if (session.asJson)
          return printJson({ world_id: worldId, strategy_id: strategyId, active: false });
        console.log(`${name} is off in ${worldId}`);
      }),
    );

  world
    .command("metrics")
    .description("metrics a policy may use")
    .addHelpText("after", "\nExample:\n  qmtl world metrics")
    .action(
      withSession(async (session) => {
        const { metrics } = await session.client(DecisionService).listMetrics({});
        if (session.asJson) return printJson(metrics.map((each) => jsonOf(MetricInfoSchema, each)));
        printTable(
          ["metric", "unit", "better", "annualised"],
          metrics.map((each) => [each.name, each.unit, each.better, each.annualisation]),
        );
      }),
    );
}
