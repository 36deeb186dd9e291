import type { DescService } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import {
  GatewayService,
  type Submission,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { identifyStrategy, loadStrategy, type OnlineSession, Runner } from "@qmtl/sdk";
import type { Connection } from "@qmtl/sdk/rpc";
import { CommandError, ExitCode } from "./exit-codes.ts";
import type { CommandSession } from "./session.ts";

/** Longest wait for the queues of a submission, milliseconds. The submission itself is durable before that. */
const queuesWaitMsMax = 60_000;

/** A submission whose nodes have their queues. */
export interface SubmittedStrategy {
  readonly submission: Submission;
  /** The same graph was handed in to the same world before. */
  readonly duplicate: boolean;
  /** The author's names of the nodes, by id. */
  readonly nodeNames: ReadonlyMap<string, string>;
}

type Answer = Omit<SubmittedStrategy, "nodeNames">;
type OnlyClients = Pick<Connection, "client">;

/**
 * Backtests a strategy's declared history and hands its graph in with the series, as a run does first; then the run is
 * ended before it takes a lease, opens a gate or computes a node.
 *
 * @throws {QmtlError} what the gateway refuses. Nothing is waited out: an outage is told at once.
 */
export async function submitStrategy(
  session: CommandSession,
  file: string,
  options: { readonly world: string; readonly export?: string },
): Promise<SubmittedStrategy> {
  const { world: worldId } = options;
  const strategy = await loadStrategy(file, options.export);
  let run: OnlineSession | undefined;
  const answer = new Promise<Answer>((resolve, reject) => {
    const connection: OnlyClients = {
      client: (service) => submitOnly(session, service, resolve),
    };
    Runner.run(strategy, { worldId, config: session.config, connection }).then((started) => {
      run = started;
      // A strategy that cannot be handed in at all ends its run by itself.
      started.done.catch(reject);
    }, reject);
  });
  try {
    const settled = await answer;
    const { graph } = identifyStrategy(strategy, { worldId });
    const nodeNames = new Map(graph.nodes.map(({ id, declared }) => [id, declared.name]));
    return { ...settled, nodeNames };
  } finally {
    await run?.stop();
  }
}

/** A client of the session; that of submissions tells its answer, and keeps its caller waiting until it is stopped. */
function submitOnly<S extends DescService>(
  session: CommandSession,
  service: S,
  onAnswer: (answer: Promise<Answer>) => void,
): Client<S> {
  const client = session.client(service);
  if (service.typeName !== GatewayService.typeName) return client;
  const gateway = session.client(GatewayService);
  return new Proxy(client, {
    get: (target, name, receiver) => {
      if (name !== "submitStrategy") return Reflect.get(target, name, receiver);
      return (request: Parameters<typeof gateway.submitStrategy>[0], call: CallOptions = {}) => {
        onAnswer(submitAndWatch(gateway, request));
        return untilAborted(call.signal);
      };
    },
  });
}

async function submitAndWatch(
  gateway: Client<typeof GatewayService>,
  request: Parameters<typeof gateway.submitStrategy>[0],
): Promise<Answer> {
  const { submission, duplicate } = await gateway.submitStrategy(request, { timeoutMs: 30_000 });
  if (submission === undefined) throw new CommandError("the answer holds no submission");
  if (submission.state === "completed") return { submission, duplicate };
  const { submissionId } = submission;
  const watch = gateway.watchSubmission({ submissionId }, { timeoutMs: queuesWaitMsMax });
  for await (const { submission: now } of watch) {
    if (now?.state === "completed") return { submission: now, duplicate };
    if (now?.state === "failed") throw notDone(submissionId, `has failed: ${now.stateReason}`);
  }
  throw notDone(submissionId, "has no queues yet");
}

function notDone(submissionId: string, what: string): CommandError {
  return new CommandError(`submission ${submissionId} ${what}`, ExitCode.refused);
}

function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = () => reject(new Error("submitted"));
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end, { once: true });
  });
}
