import {
  ExplainStrategyResponseSchema,
  GatewayService,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { Command } from "commander";
import { jsonOf } from "../json-of.ts";
import { enumName, printJson } from "../print.ts";
import { ruleText } from "../rule-text.ts";
import { withSession } from "../session.ts";

/** `qmtl explain WORLD STRATEGY`: why a strategy is where it is. */
export function addExplainCommand(program: Command): void {
  program
    .command("explain <world> <strategy>")
    .description("why a strategy is where it is: mode, terms, rules, orders held back")
    .addHelpText("after", "\nExample:\n  qmtl explain demo momentum")
    .action(
      withSession(async (session, worldId: string, name: string) => {
        const strategyId = await session.strategyId(worldId, name);
        const answer = await session
          .client(GatewayService)
          .explainStrategy({ worldId, strategyId });
        if (session.asJson) return printJson(jsonOf(ExplainStrategyResponseSchema, answer));
        console.log(answer.summary || `${name} in ${worldId}`);
        console.log(
          `mode ${enumName(EffectiveMode, answer.effectiveMode)}, domain ${enumName(ExecutionDomain, answer.executionDomain)}, gate ${answer.gate}, tier ${answer.tier}`,
        );
        console.log(
          `orders: ${answer.sentOrders} sent, ${answer.wantedOrders} wanted while the gate was shut`,
        );
        for (const term of answer.terms)
          console.log(
            `${term.binding ? "*" : " "} ${term.name}: at most ${enumName(EffectiveMode, term.allows)}  ${term.detail}`,
          );
        for (const rule of answer.rules)
          console.log(
            `  ${rule.verdict.padEnd(14)} ${ruleText(rule)}  (${rule.domain}, ${rule.samples} samples)`,
          );
        for (const halt of answer.halts) console.log(`halted: ${halt}`);
      }),
    );
}
