import type { Command } from "commander";

/**
 * The options given to a command and its parents, as arguments that reproduce them.
 *
 * @param leftOut attribute names of options to leave out
 */
export function optionArgs(command: Command, leftOut: readonly string[] = []): string[] {
  const args: string[] = [];
  for (let each: Command | null = command; each !== null; each = each.parent) {
    for (const option of each.options) {
      const name = option.attributeName();
      if (leftOut.includes(name) || each.getOptionValueSource(name) !== "cli") continue;
      const value: unknown = each.getOptionValue(name);
      // Two options share an attribute when one of them negates the other.
      if (option.negate !== (value === false)) continue;
      const flag = option.long ?? option.short!;
      args.push(typeof value === "boolean" ? flag : `${flag}=${String(value)}`);
    }
  }
  return args;
}
