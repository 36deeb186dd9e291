import type { DescService } from "@bufbuild/protobuf";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import {
  GatewayService,
  type SubmitStrategyRequest,
  SubmitStrategyRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { loadStrategy, type OnlineSession, Runner } from "@qmtl/sdk";
import type { Connection } from "@qmtl/sdk/rpc";
import type { CommandSession } from "./session.ts";

type OnlyClients = Pick<Connection, "client">;
type Taken = (request: MessageInitShape<typeof SubmitStrategyRequestSchema>) => void;

/**
 * What a run of a strategy would hand in: its graph, its backtest of the declared history, what its target declares.
 * The run is ended before anything is sent, so that nothing of it needs a platform.
 *
 * @throws {StrategyRunError | DeclarationError | CodeHashError | CsvError} what is wrong with the strategy.
 */
export async function submissionRequest(
  session: Pick<CommandSession, "client" | "config">,
  file: string,
  options: { readonly world: string; readonly export?: string },
): Promise<SubmitStrategyRequest> {
  const strategy = await loadStrategy(file, options.export);
  let run: OnlineSession | undefined;
  const request = new Promise<SubmitStrategyRequest>((resolve, reject) => {
    const take: Taken = (made) => resolve(create(SubmitStrategyRequestSchema, made));
    const connection: OnlyClients = { client: (service) => takingClient(session, service, take) };
    Runner.run(strategy, { worldId: options.world, config: session.config, connection }).then(
      (started) => {
        run = started;
        // A strategy that cannot be handed in at all ends its run by itself.
        started.done.catch(reject);
      },
      reject,
    );
  });
  try {
    return await request;
  } finally {
    await run?.stop();
  }
}

/** A client of the session; that of submissions takes the request, and keeps its caller waiting until it is stopped. */
function takingClient<S extends DescService>(
  session: Pick<CommandSession, "client">,
  service: S,
  take: Taken,
): Client<S> {
  const client = session.client(service);
  if (service.typeName !== GatewayService.typeName) return client;
  return new Proxy(client, {
    get: (target, name, receiver) => {
      if (name !== "submitStrategy") return Reflect.get(target, name, receiver);
      return (request: Parameters<Taken>[0], call: CallOptions = {}) => {
        take(request);
        return untilAborted(call.signal);
      };
    },
  });
}

function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = () => reject(new Error("the request was taken"));
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end, { once: true });
  });
}
