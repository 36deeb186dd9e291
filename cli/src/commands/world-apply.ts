import { type Duration, durationMs, timestampDate } from "@bufbuild/protobuf/wkt";
import {
  ApplyPhase,
  Gate,
  GateStateSchema,
  HoldKind,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  ActivationService,
  type ApplyResponse,
  ApplyResponseSchema,
  type ApplyRun,
  ApplyRunSchema,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { type Command, Option } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { nameList } from "../option-values.ts";
import { allOf } from "../pages-of.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

const TARGET_MODES: Readonly<Record<string, EffectiveMode>> = {
  "compute-only": EffectiveMode.COMPUTE_ONLY,
  paper: EffectiveMode.PAPER,
  live: EffectiveMode.LIVE,
};

const HOLDS: Readonly<Record<string, HoldKind>> = {
  rollback: HoldKind.ROLLBACK,
  manual: HoldKind.MANUAL,
  breaker: HoldKind.BREAKER,
};

interface ApplyOptions {
  to: string;
  run: string;
  activate?: string[];
  deactivate?: string[];
  exclude?: string[];
  reason: string;
  allowLive?: boolean;
}

async function apply(
  session: CommandSession,
  worldId: string,
  options: ApplyOptions,
): Promise<void> {
  const targetMode = TARGET_MODES[options.to] ?? EffectiveMode.UNSPECIFIED;
  const ids = (names: readonly string[] = []): Promise<string[]> =>
    Promise.all(names.map((name) => session.strategyId(worldId, name)));
  const plan = { activate: await ids(options.activate), deactivate: await ids(options.deactivate) };
  const phases = session.client(ActivationService).apply({
    worldId,
    runId: options.run,
    targetMode,
    plan,
    excludeSessions: options.exclude ?? [],
    allowLive: options.allowLive === true,
    reason: options.reason,
  });
  let last: ApplyPhase = ApplyPhase.UNSPECIFIED;
  for await (const phase of phases) {
    last = phase.phase;
    if (session.asJson) printJson(jsonOf(ApplyResponseSchema, phase));
    else printPhase(phase);
  }
  if (last === ApplyPhase.ROLLED_BACK)
    throw new CommandError(
      `run ${options.run} was rolled back`,
      ExitCode.refused,
      `\`qmtl world show ${worldId}\` names the hold`,
    );
  if (targetMode === EffectiveMode.LIVE && !session.asJson)
    console.log(
      `a strategy that is live for the first time has weight 0: \`qmtl world activate ${worldId} STRATEGY --weight 0.1 --reason WHY\` raises it`,
    );
}

/** A phase, and the sessions that had not acknowledged its freeze: `--exclude` takes their ids. */
function printPhase(phase: ApplyResponse): void {
  const { acknowledged, sessions, reason, fence } = phase;
  console.log(
    `${enumName(ApplyPhase, phase.phase).padEnd(11)} ${elapsed(phase.elapsed).padStart(8)} ms  fence ${fence}  ${acknowledged}/${sessions} acknowledged${reason ? `  ${reason}` : ""}`,
  );
  if (phase.phase === ApplyPhase.FREEZING) return;
  for (const { sessionId, origin } of phase.waitingSessions) {
    const since =
      origin?.startTime === undefined
        ? ""
        : `, since ${timestampDate(origin.startTime).toISOString()}`;
    const where = origin === undefined ? "" : ` (${origin.process}${since})`;
    console.log(`  not acknowledged by ${sessionId}${where}`);
  }
}

function elapsed(duration: Duration | undefined): string {
  return (duration === undefined ? 0 : durationMs(duration)).toFixed(1);
}

async function runsOf(
  session: CommandSession,
  worldId: string,
  runId: string | undefined,
): Promise<ApplyRun[]> {
  const service = session.client(ActivationService);
  if (runId === undefined)
    return allOf(
      (pageToken) => service.listApplyRuns({ worldId, pageSize: 1000, pageToken }),
      (page) => page.runs,
    );
  const { run } = await service.getApplyRun({ worldId, runId });
  return run === undefined ? [] : [run];
}

/** `qmtl world apply|runs|cancel|freeze|resume`: two-phase promotion, and what stops it. */
export function addApplyCommands(world: Command): void {
  world
    .command("apply <world>")
    .description(
      "promote in two phases: freeze, switch, unfreeze; prints each phase as it is committed",
    )
    .requiredOption("--run <id>", "id of the run; the same id again shows its state")
    .addOption(
      new Option("--to <mode>", "the next stage; or the present one, to switch strategies only")
        .choices(Object.keys(TARGET_MODES))
        .makeOptionMandatory(),
    )
    .option(
      "--activate <strategies>",
      "names or ids (default: those the last evaluation admits)",
      nameList,
    )
    .option("--deactivate <strategies>", "names or ids", nameList)
    .option("--exclude <sessions>", "sessions to leave out: nobody waits for them", nameList)
    .option("--allow-live", "explicit consent to live; only with --to live")
    .option("--reason <text>", "reason; kept in the audit", "applied by the operator")
    .addHelpText("after", "\nExample:\n  qmtl world apply demo --run promote-1 --to paper")
    .action(withSession(apply));

  world
    .command("runs <world> [run]")
    .description("apply runs, newest first; or one of them")
    .addHelpText("after", "\nExample:\n  qmtl world runs demo")
    .action(
      withSession(async (session, worldId: string, runId: string | undefined) => {
        const runs = await runsOf(session, worldId, runId);
        if (session.asJson) return printJson(runs.map((run) => jsonOf(ApplyRunSchema, run)));
        printTable(
          ["run", "phase", "fence", "restarts", "by", "reason"],
          runs.map((run) => [
            run.runId,
            enumName(ApplyPhase, run.phase),
            String(run.fence),
            String(run.resumeCount),
            run.principal,
            run.reason,
          ]),
        );
      }),
    );

  world
    .command("cancel <world> <run>")
    .description("roll a run back")
    .addHelpText("after", "\nExample:\n  qmtl world cancel demo promote-1")
    .option("--reason <text>", "reason; kept in the audit", "cancelled by the operator")
    .action(
      withSession(async (session, worldId: string, runId: string, options: { reason: string }) => {
        const { run } = await session
          .client(ActivationService)
          .cancelApply({ worldId, runId, reason: options.reason });
        if (!run) throw new CommandError("the response contains no run");
        if (session.asJson) return printJson(jsonOf(ApplyRunSchema, run));
        console.log(`run ${run.runId}: ${enumName(ApplyPhase, run.phase)}`);
      }),
    );

  world
    .command("freeze <world>")
    .description("shut the gate until somebody resumes it")
    .requiredOption("--reason <text>", "reason; kept in the audit")
    .addOption(
      new Option("--hold <name>", "name of the hold")
        .choices(["manual", "breaker"])
        .default("manual"),
    )
    .addHelpText("after", "\nExample:\n  qmtl world freeze demo --reason 'to look at it'")
    .action(
      withSession(async (session, worldId: string, options: { reason: string; hold: string }) => {
        const { gate } = await session
          .client(ActivationService)
          .freeze({ worldId, hold: HOLDS[options.hold]!, reason: options.reason });
        if (session.asJson && gate) return printJson(jsonOf(GateStateSchema, gate));
        console.log(`gate ${enumName(Gate, gate?.gate ?? 0)}, fence ${gate?.fence}`);
      }),
    );

  world
    .command("resume <world>")
    .description("remove a hold; removing the last one opens the gate")
    .addOption(
      new Option("--hold <name>", "name of the hold")
        .choices(Object.keys(HOLDS))
        .makeOptionMandatory(),
    )
    .addHelpText("after", "\nExample:\n  qmtl world resume demo --hold manual --reason 'looked at'")
    .requiredOption("--reason <text>", "reason; kept in the audit")
    .action(
      withSession(async (session, worldId: string, options: { reason: string; hold: string }) => {
        const { gate } = await session
          .client(ActivationService)
          .resume({ worldId, hold: HOLDS[options.hold]!, reason: options.reason });
        if (session.asJson && gate) return printJson(jsonOf(GateStateSchema, gate));
        console.log(
          `gate ${enumName(Gate, gate?.gate ?? 0)}, holds: ${gate?.holds.map(({ kind }) => enumName(HoldKind, kind).toLowerCase()).join(", ") || "none"}`,
        );
      }),
    );
}
