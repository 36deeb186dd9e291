import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import { clientTls, type QmtlConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo, QmtlError } from "@qmtl/sdk/rpc";
import type { Command } from "commander";
import { CommandError, ExitCode, RefusalError } from "../exit-codes.ts";
import { connectionCause, namingGateway } from "../no-answer.ts";
import { type CommandSession, openSession } from "../session.ts";
import { withSuggestion } from "../suggest-name.ts";

/** The session of a `dag` command: the gateway, and the DAG Manager itself. */
export interface DagSession extends CommandSession {
  /** The address given with --target; undefined for none. */
  readonly target: string | undefined;
  /** A client of the DAG Manager: of --target, else of the address in the configuration. */
  dagClient<S extends DescService>(service: S): Client<S>;
}

/**
 * Runs the action of a `dag` command with its session, and closes it whatever happens. An address that does not answer
 * is reported with what to do about it.
 */
export function withDagSession<A extends unknown[]>(
  action: (session: DagSession, ...args: A) => Promise<void>,
): (...all: [...A, Command]) => Promise<void> {
  return async (...all) => {
    const command = all.at(-1) as Command;
    const session = openSession(command);
    const { target: given } = command.optsWithGlobals<{ target?: string }>();
    const target = given === undefined ? undefined : urlFrom(given);
    const url = target ?? dagManagerUrl(session.config);
    let connection: Connection | undefined;
    const dagClient = <S extends DescService>(service: S): Client<S> => {
      connection ??= connectTo(url, optionsFor(url, session.config));
      return connection.client(service);
    };
    try {
      await action({ ...session, target, dagClient }, ...(all.slice(0, -1) as A));
    } catch (failure) {
      if (connection !== undefined) throw ofDagManager(failure, url, target);
      throw await withSuggestion(session, namingGateway(failure, session.gatewayUrl));
    } finally {
      connection?.close();
      session.close();
    }
  };
}

/** `localhost:7410` is `http://localhost:7410`. */
function urlFrom(target: string): string {
  const url = target.includes("://") ? target : `http://${target}`;
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw new CommandError(`--target takes an address such as http://127.0.0.1:7410, not ${target}`);
}

/** In one process the DAG Manager listens on its own port, whatever the gateway's URLs say. */
function dagManagerUrl({ storage, gateway, dag_manager }: QmtlConfig): string {
  return storage.kind === "embedded"
    ? `http://127.0.0.1:${dag_manager.port}`
    : gateway.dag_manager_url;
}

function optionsFor(url: string, config: QmtlConfig) {
  const apiKey = process.env.QMTL_API_KEY;
  return {
    ...(url.startsWith("https:") ? clientTls(config) : {}),
    ...(apiKey === undefined ? {} : { apiKey }),
  };
}

function ofDagManager(failure: unknown, url: string, target: string | undefined): unknown {
  if (!(failure instanceof QmtlError)) return failure;
  if (failure.code === Code.Unavailable || failure.code === Code.DeadlineExceeded) {
    const address = target === undefined ? "set --target" : "correct --target";
    const hint = `is the DAG Manager running? start the platform with \`qmtl up\`, or ${address}`;
    const message = `the DAG Manager at ${url} does not answer: ${connectionCause(failure.message)}`;
    return new RefusalError(message, ExitCode.unreachable, hint, failure.reason);
  }
  if (failure.reason === "PRINCIPAL_UNSIGNED") {
    const hint =
      "with security.keys the DAG Manager accepts only calls that a gateway signed; without keys, those from its own machine";
    return new RefusalError(failure.message, ExitCode.refused, hint, failure.reason);
  }
  return failure;
}
