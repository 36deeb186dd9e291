import { pause, type TicketKeeper } from "../../control/index.ts";
import type { HostedStrategy } from "./orders/hosted-strategy.ts";
import type { RunParts } from "./run-parts.ts";
import type { RunClock } from "./session/ongoing-run.ts";

/** Time in which a strategy that was taken out gives up its leases and answers for its swap, milliseconds. */
const givenUpMs = 2_000;

/**
 * Has tickets cover the strategies that still run: another session may send the orders of the others. They first give
 * up, under the present ticket, what they hold. Does nothing once the signal aborts.
 */
export async function coverRunning(
  { sets, monitor }: Pick<RunParts, "sets" | "monitor">,
  session: {
    readonly tickets: TicketKeeper;
    readonly clock: RunClock;
    readonly signal: AbortSignal;
  },
  running: () => readonly HostedStrategy[],
): Promise<void> {
  const { tickets, clock, signal } = session;
  await pause(clock, givenUpMs, signal);
  const strategyIds = running().map(({ strategyId }) => strategyId);
  if (signal.aborted || strategyIds.length === 0) return;
  tickets.coverOnly(strategyIds, () => {
    monitor.gate.narrow(strategyIds);
    sets.enterAgain();
  });
}
