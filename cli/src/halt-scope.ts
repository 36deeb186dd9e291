import type { Halt } from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import { CommandError } from "./exit-codes.ts";

/** What a halt covers, as given by options: at most one of them. */
export interface HaltScope {
  account?: string;
  world?: string;
  strategy?: string;
}

/** The halt target that the options name; everything when they name none. Usage error for more than one. */
export function haltTarget({ account, world, strategy }: HaltScope) {
  const given = [account, world, strategy].filter((each) => each !== undefined);
  if (given.length > 1)
    throw new CommandError(
      "give one of --account, --world and --strategy, or none of them for everything",
    );
  if (account !== undefined) return { target: { case: "accountId", value: account } } as const;
  if (world !== undefined) return { target: { case: "worldId", value: world } } as const;
  if (strategy !== undefined) return { target: { case: "strategyId", value: strategy } } as const;
  return { target: { case: "everything", value: {} } } as const;
}

/** What a halt covers, in words. */
export function haltedText(halt: Halt | undefined): string {
  const target = halt?.target?.target;
  switch (target?.case) {
    case "everything":
      return "everything";
    case "accountId":
      return `account ${target.value}`;
    case "worldId":
      return `world ${target.value}`;
    case "strategyId":
      return `strategy ${target.value}`;
    default:
      return "something this version does not know";
  }
}
