import { HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import {
  type ExplainStrategyResponse,
  ExplainStrategyResponseSchema,
  GatewayService,
  OrderTier,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { RuleKind, RuleVerdict, TermName } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import type { Command } from "commander";
import { gateText, stopLines } from "../halts-of-world.ts";
import { jsonOf } from "../json-of.ts";
import { enumName, printJson } from "../print.ts";
import { ruinText } from "../ruin-text.ts";
import { ruleText } from "../rule-text.ts";
import { withSession } from "../session.ts";

/** `qmtl explain WORLD STRATEGY`: why a strategy has its present mode. */
export function addExplainCommand(program: Command): void {
  program
    .command("explain <world> <strategy>")
    .description(
      "why a strategy has its present mode, and trades or not: terms, rules, orders held back, missing signals and feeds",
    )
    .addHelpText("after", "\nExample:\n  qmtl explain demo momentum")
    .action(
      withSession(async (session, worldId: string, name: string) => {
        const strategyId = await session.strategyId(worldId, name);
        const answer = await session
          .client(GatewayService)
          .explainStrategy({ worldId, strategyId });
        if (session.asJson) return printJson(jsonOf(ExplainStrategyResponseSchema, answer));
        console.log(answer.summary || `${name} in ${worldId}`);
        for (const line of linesOf(answer)) console.log(line);
      }),
    );
}

function* linesOf(answer: ExplainStrategyResponse): Generator<string> {
  const { effectiveMode, executionDomain, gate, tier, capital, ruin, halts, shutWorld } = answer;
  const shut = shutWorld === undefined ? [] : [shutWorld];
  const mode = enumName(EffectiveMode, effectiveMode);
  const domain = enumName(ExecutionDomain, executionDomain);
  yield `mode ${mode}, domain ${domain}, gate ${gateText(gate, shut)}, tier ${enumName(OrderTier, tier)}`;
  const { emitterSessionId } = answer;
  yield `order lease: ${emitterSessionId === "" ? "held by no session, so no runner may send" : `session ${emitterSessionId}`}`;
  yield `orders: ${answer.sentOrders} sent, ${answer.wantedOrders} wanted while the gate was shut`;
  if (capital !== undefined) yield `capital: ${capital.value}`;
  if (ruin !== undefined) yield `account of the world: ${ruinText(ruin)}`;
  for (const term of answer.terms) {
    const allowed = enumName(EffectiveMode, term.allows);
    yield `${term.binding ? "*" : " "} ${enumName(TermName, term.name)}: at most ${allowed}  ${term.detail}`;
  }
  for (const rule of answer.rules) {
    const verdict = enumName(RuleVerdict, rule.verdict).padEnd(14);
    const text = ruleText({ kind: enumName(RuleKind, rule.kind), text: rule.text });
    yield `  ${verdict} ${text}  (${enumName(ExecutionDomain, rule.domain)}, ${rule.samples} samples)`;
  }
  for (const { instrument, buckets, target, source } of answer.signalGaps) {
    const why = source === "" ? "every source has a value" : `source ${source} has none`;
    yield `no signal: ${instrument} (${target}) for ${buckets} buckets, ${why}`;
  }
  for (const source of answer.waitsForSources)
    yield `waits for feed ${source} (SLICE_WAITS_FOR_FEED): nobody has offered its next row`;
  for (const { kind, reason } of answer.holds) yield `held: ${enumName(HoldKind, kind)} ${reason}`;
  yield* stopLines({ halts, shut });
}
