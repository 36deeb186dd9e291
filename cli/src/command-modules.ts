import type { Command } from "commander";

type AddCommands = (program: Command) => void;

const journal = async () => (await import("./commands/journal.ts")).addJournalCommands;
const halt = async () => (await import("./commands/halt.ts")).addHaltCommands;

/**
 * Where each command comes from, in the order of `qmtl --help`. A module is loaded when its command is called: half of
 * the start-up time of a short command would otherwise be spent on loading all the others.
 */
const commandModules = {
  project: async () => (await import("./commands/project.ts")).addProjectCommands,
  up: async () => (await import("./commands/up.ts")).addUpCommand,
  service: async () => (await import("./commands/service.ts")).addServiceCommands,
  run: async () => (await import("./commands/run.ts")).addRunCommands,
  worker: async () => (await import("./commands/worker.ts")).addWorkerCommand,
  submit: async () => (await import("./commands/submit.ts")).addSubmitCommand,
  replay: async () => (await import("./commands/replay.ts")).addReplayCommand,
  report: async () => (await import("./commands/report.ts")).addReportCommand,
  world: async () => (await import("./commands/world.ts")).addWorldCommands,
  policy: async () => (await import("./commands/policy.ts")).addPolicyCommands,
  explain: async () => (await import("./commands/explain.ts")).addExplainCommand,
  dag: async () => (await import("./commands/dag.ts")).addDagCommands,
  queues: async () => (await import("./commands/queues.ts")).addQueuesCommands,
  events: async () => (await import("./commands/events.ts")).addEventsCommand,
  orders: async () => (await import("./commands/orders.ts")).addOrderCommands,
  account: async () => (await import("./commands/account.ts")).addAccountCommands,
  positions: journal,
  journal,
  halt,
  resume: halt,
  halts: async () => (await import("./commands/halts.ts")).addHaltsCommand,
  rebalance: async () => (await import("./commands/rebalance.ts")).addRebalanceCommands,
  config: async () => (await import("./commands/config.ts")).addConfigCommands,
  backup: async () => (await import("./commands/backup.ts")).addBackupCommand,
  restore: async () => (await import("./commands/restore.ts")).addRestoreCommand,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
  check: async () => (await import("./commands/check.ts")).addCheckCommand,
  taglint: async () => (await import("./commands/taglint.ts")).addTaglintCommand,
  completion: async () => (await import("./commands/completion.ts")).addCompletionCommand,
} as const satisfies Record<string, () => Promise<AddCommands>>;

export type CommandName = keyof typeof commandModules;

/** Every command, in the order of `qmtl --help`. */
export const commandNames = Object.keys(commandModules) as CommandName[];

/** Adds these commands, and those that share a module with one of them. */
export async function addCommands(program: Command, names: readonly CommandName[]): Promise<void> {
  const adders = await Promise.all(names.map((name) => commandModules[name]()));
  for (const add of new Set<AddCommands>(adders)) add(program);
}

/** Options of the program that are followed by a value. */
const WITH_VALUE: readonly string[] = ["--config", "--gateway-url"];

/**
 * The commands a command line needs: the one it calls, or none to print the version. Help, completion and an unknown
 * word need them all.
 *
 * @param words the command line without the program
 */
export function neededCommands(words: readonly string[]): readonly CommandName[] {
  const first = words.find(
    (word, index) => !word.startsWith("-") && !WITH_VALUE.includes(words[index - 1] ?? ""),
  );
  if (first === undefined && words.some((word) => word === "--version" || word === "-V")) return [];
  const called = commandNames.find((known) => known === first);
  return called === undefined || called === "completion" ? commandNames : [called];
}
