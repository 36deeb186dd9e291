import { CommandError, ExitCode } from "./exit-codes.ts";

/**
 * Refuses options that would have no effect, as whoever gave one expects an effect.
 *
 * @param given values by flag; one that is undefined or false was not given
 * @param where why they do nothing, such as "without --world"
 * @throws {CommandError} usage, naming them
 */
export function refuseIdle(given: Readonly<Record<string, unknown>>, where: string): void {
  const idle = Object.entries(given).filter(([, value]) => value !== undefined && value !== false);
  if (idle.length === 0) return;
  const flags = idle.map(([flag]) => flag).join(", ");
  throw new CommandError(`${flags}: no effect ${where}`, ExitCode.usage, `leave ${flags} out`);
}
