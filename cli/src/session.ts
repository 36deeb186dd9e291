import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { clientTls } from "@qmtl/sdk/config";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import type { Command } from "commander";
import { type CommandSettings, commandSettings } from "./command-settings.ts";
import { CommandError, ExitCode } from "./exit-codes.ts";
import { namingGateway } from "./no-answer.ts";
import { allOf } from "./pages-of.ts";
import { unknownStrategy, withSuggestion } from "./suggest-name.ts";

/** What a command that talks to the platform works with: its settings, and clients of the gateway. */
export interface CommandSession extends CommandSettings {
  client<S extends DescService>(service: S): Client<S>;
  /** The strategy id of a name or id within a world. */
  strategyId(worldId: string, nameOrId: string): Promise<string>;
  close(): void;
}

/** Opens the session of a command from its options; does not connect before the first call. */
export function openSession(command: Command): CommandSession {
  const settings = commandSettings(command);
  const { config, gatewayUrl } = settings;
  const apiKey = process.env.QMTL_API_KEY;
  let connection: Connection | undefined;
  const client = <S extends DescService>(service: S): Client<S> => {
    connection ??= connectTo(gatewayUrl, {
      ...clientTls(config),
      ...(apiKey === undefined ? {} : { apiKey }),
    });
    return connection.client(service);
  };
  return {
    ...settings,
    client,
    strategyId: async (worldId, nameOrId) => {
      if (/^s-[0-9a-f]{16}$/.test(nameOrId)) return nameOrId;
      const worlds = client(WorldService);
      const bindings = await allOf(
        (pageToken) => worlds.listBindings({ worldId, pageSize: 1000, pageToken }),
        (page) => page.bindings,
      );
      const named = bindings.filter((binding) => binding.strategyName === nameOrId);
      const found = named[0];
      if (named.length === 1 && found) return found.strategyId;
      const known = bindings.map((binding) => binding.strategyName);
      if (named.length === 0) throw unknownStrategy(worldId, nameOrId, known);
      const ids = named.map((binding) => binding.strategyId).join(", ");
      throw new CommandError(
        `world ${worldId} has ${named.length} strategies named ${nameOrId}`,
        ExitCode.usage,
        `say which one by its id: ${ids}`,
      );
    },
    close: () => connection?.close(),
  };
}

/**
 * Runs the action of a command with its session, and closes it whatever happens. The action gets the session, then the
 * command's arguments, then its options.
 */
export function withSession<A extends unknown[]>(
  action: (session: CommandSession, ...args: A) => Promise<void>,
): (...all: [...A, Command]) => Promise<void> {
  return async (...all) => {
    const command = all.at(-1) as Command;
    const session = openSession(command);
    try {
      await action(session, ...(all.slice(0, -1) as A));
    } catch (failure) {
      throw await withSuggestion(session, namingGateway(failure, session.gatewayUrl));
    } finally {
      session.close();
    }
  };
}
