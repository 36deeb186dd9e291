import { randomUUID } from "node:crypto";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type DecisionEnvelope,
  DecisionEnvelopeSchema,
  type Evaluation,
  EvaluationSchema,
  RuleKind,
  RuleVerdict,
} from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import {
  DecisionService,
  MetricDirection,
  MetricInfoSchema,
} from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { stopLines, stopsIn, stopsJson, type WorldStops } from "../halts-of-world.ts";
import { readTextFile } from "../input-file.ts";
import { jsonOf } from "../json-of.ts";
import { allOf } from "../pages-of.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { ruleText } from "../rule-text.ts";
import { type CommandSession, withSession } from "../session.ts";

/** `qmtl world decide|select|evaluate|evaluation|metrics`: what the policy allows, and judging by it. */
export function addDecisionCommands(world: Command): void {
  addDecideCommands(world);
  addEvaluateCommands(world);

  world
    .command("metrics")
    .description("metrics a policy may use")
    .addHelpText("after", "\nExample:\n  qmtl world metrics")
    .action(
      withSession(async (session) => {
        const service = session.client(DecisionService);
        const metrics = await allOf(
          (pageToken) => service.listMetrics({ pageSize: 1000, pageToken }),
          (page) => page.metrics,
        );
        if (session.asJson) return printJson(metrics.map((each) => jsonOf(MetricInfoSchema, each)));
        printTable(
          ["metric", "unit", "better", "annualised"],
          metrics.map((each) => [
            each.name,
            each.unit,
            enumName(MetricDirection, each.better),
            each.annualisation,
          ]),
        );
      }),
    );
}

function addDecideCommands(world: Command): void {
  world
    .command("decide <world>")
    .description("what the world allows now, and why")
    .addHelpText("after", "\nExample:\n  qmtl world decide demo")
    .action(
      withSession(async (session, worldId: string) => {
        const { decision } = await session.client(DecisionService).decide({ worldId });
        printDecision(session, decision, await stopsIn(session, worldId));
      }),
    );

  world
    .command("select <world> [strategies...]")
    .description("select strategies by hand; the others are lowered at once")
    .option("--none", "select nothing: all are lowered")
    .requiredOption("--reason <text>", "reason; kept in the audit")
    .addHelpText("after", "\nExample:\n  qmtl world select demo momentum --reason 'only this one'")
    .action(
      withSession(
        async (
          session,
          worldId: string,
          names: string[],
          { none, reason }: { none?: boolean; reason: string },
        ) => {
          if ((names.length === 0) !== (none === true))
            throw new CommandError("name the strategies to select, or give --none");
          const strategyIds = await Promise.all(
            names.map((name) => session.strategyId(worldId, name)),
          );
          const { decision } = await session
            .client(DecisionService)
            .setDecisions({ worldId, strategyIds: [...new Set(strategyIds)], reason });
          printDecision(session, decision);
        },
      ),
    );
}

function addEvaluateCommands(world: Command): void {
  world
    .command("evaluate <world>")
    .description("judge the strategies by the policy; what no longer passes is lowered at once")
    .option("--dry-run", "judge only, change nothing")
    .option("--policy <file>", "judge by a candidate policy; needs --dry-run")
    .addHelpText("after", "\nExample:\n  qmtl world evaluate demo --dry-run --policy candidate.yml")
    .action(
      withSession(
        async (session, worldId: string, options: { dryRun?: boolean; policy?: string }) => {
          if (options.policy !== undefined && options.dryRun !== true)
            throw new CommandError("--policy judges by a candidate: it needs --dry-run");
          const policyDocument = options.policy === undefined ? "" : readTextFile(options.policy);
          const { evaluation } = await session.client(DecisionService).evaluate({
            worldId,
            validateOnly: options.dryRun === true,
            policyDocument,
            requestId: randomUUID(),
          });
          printEvaluation(session, evaluation);
        },
      ),
    );

  world
    .command("evaluation <world> [id]")
    .description("an evaluation as it was stored (default: the last one)")
    .addHelpText("after", "\nExample:\n  qmtl world evaluation demo")
    .action(
      withSession(async (session, worldId: string, evaluationId: string | undefined) => {
        const { evaluation } = await session
          .client(DecisionService)
          .getEvaluation({ worldId, evaluationId: evaluationId ?? "" });
        printEvaluation(session, evaluation);
      }),
    );
}

function printDecision(
  session: CommandSession,
  decision: DecisionEnvelope | undefined,
  stops: WorldStops | undefined = undefined,
): void {
  if (!decision) throw new CommandError("the response contains no decision");
  if (session.asJson) {
    const shown = jsonOf(DecisionEnvelopeSchema, decision);
    printJson(stops === undefined ? shown : Object.assign({}, shown, stopsJson(stops)));
    return;
  }
  console.log(`${enumName(EffectiveMode, decision.effectiveMode)}: ${decision.reason}`);
  for (const each of decision.strategies)
    console.log(
      `  ${each.strategyId}  stage ${enumName(EffectiveMode, each.stage)}, mode ${enumName(EffectiveMode, each.effectiveMode)}`,
    );
  // A decision says what the policy allows; a halt, or a late order, stops orders whatever that is.
  for (const line of stops === undefined ? [] : stopLines(stops)) console.log(line);
}

function printEvaluation(session: CommandSession, evaluation: Evaluation | undefined): void {
  if (!evaluation) throw new CommandError("the response contains no evaluation");
  if (session.asJson) {
    printJson(jsonOf(EvaluationSchema, evaluation));
    return;
  }
  for (const strategy of evaluation.strategies) {
    const change =
      strategy.stageBefore === strategy.stageAfter
        ? enumName(EffectiveMode, strategy.stageAfter)
        : `${enumName(EffectiveMode, strategy.stageBefore)} -> ${enumName(EffectiveMode, strategy.stageAfter)}`;
    console.log(
      `${strategy.strategyId}  ${strategy.selected ? "passes" : "fails"}  ${change}  may reach ${enumName(EffectiveMode, strategy.mayReach)}`,
    );
    for (const rule of strategy.rules)
      console.log(
        `  ${enumName(RuleVerdict, rule.verdict).padEnd(14)} ${ruleText({ kind: enumName(RuleKind, rule.kind), text: rule.text })}`,
      );
  }
}
