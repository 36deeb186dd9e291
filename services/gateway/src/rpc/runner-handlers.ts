import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type OwnerFrameSchema,
  type RunnerFrame,
  RunnerService,
} from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { type CallContext, type Handlers, type ServedService, serve } from "@qmtl/service-kit";
import { outOfOrder, RunnerStream, type StreamPorts } from "../runners/runner-stream.ts";
import type { StreamRegistry } from "../runners/stream-registry.ts";

export interface RunnerPorts extends StreamPorts {
  readonly runners: StreamRegistry;
}

/** RunnerService: a runner's stream to the owner of its timeline. */
export function runnerService(ports: RunnerPorts): ServedService {
  const handlers: Handlers<typeof RunnerService> = {
    attach: (frames, context) => attach(ports, frames, context),
  };
  return serve(RunnerService, handlers);
}

async function* attach(
  ports: RunnerPorts,
  frames: AsyncIterable<RunnerFrame>,
  context: CallContext,
): AsyncGenerator<MessageInitShape<typeof OwnerFrameSchema>> {
  const reader = frames[Symbol.asyncIterator]();
  const first = await reader.next();
  if (first.done === true || first.value.body.case !== "hello")
    throw outOfOrder("the first frame must be a hello");
  const { program } = first.value.body.value;
  const runner = new RunnerStream(ports, context);
  try {
    ports.runners.add(runner);
    const { sessionId } = runner;
    ports.logger.debug("a runner has attached", { sessionId, program });
    readAll(runner, reader);
    yield* runner.frames;
  } finally {
    ports.runners.remove(runner);
    runner.frames.end();
  }
}

/** Takes the frames of a runner until there are no more; a frame that is refused ends the stream. */
function readAll(runner: RunnerStream, reader: AsyncIterator<RunnerFrame>): void {
  const read = async (): Promise<void> => {
    for (;;) {
      const next = await reader.next();
      if (next.done === true || runner.frames.isOver) break;
      await runner.take(next.value);
    }
    runner.frames.end();
  };
  read().catch((failure: unknown) => runner.frames.fail(failure));
}
