import type { Message } from "@bufbuild/protobuf";
import type { handleClientStreamingCall, ServerReadableStream } from "@grpc/grpc-js";
import type { DoorSetup } from "./door.ts";
import { GrpcCallContext, principalOfCall } from "./grpc-call.ts";
import { answerBytes, checkRequest, decodeRequest } from "./request-check.ts";
import { notBuilt, type ServedMethod } from "./served-method.ts";
import { grpcFailure, refusalOf } from "./wire-error.ts";

/**
 * A client stream at the gRPC door. Each message is checked as it is read; the schema version is that of the
 * first. The handler reads at its own pace and the sender waits.
 */
export function clientStreamAtGrpcDoor(
  setup: DoorSetup,
  method: ServedMethod,
): handleClientStreamingCall<Buffer, Buffer> {
  return (call, callback) => {
    const fail = (failure: unknown) =>
      callback(grpcFailure(refusalOf(failure, method.feature, setup.logger)));
    try {
      if (method.call?.kind !== "client_streaming") throw notBuilt(method.feature);
      const active = setup.calls.begin(true, fail);
      call.on("cancelled", () => active.cancelled());
      const end = (failure: unknown) => {
        if (active.finish()) fail(failure);
      };
      try {
        const principal = principalOfCall(setup, call);
        const context = new GrpcCallContext(setup, call, active, principal, method.range.min);
        method.call
          .invoke(checkedRequests(method, call, context), context)
          .then((answer) => {
            if (active.isOver) return;
            const bytes = answerBytes(method, answer, context.schemaVersion);
            active.finish();
            callback(null, bytes);
          })
          .catch(end);
      } catch (failure) {
        end(failure);
      }
    } catch (failure) {
      fail(failure);
    }
  };
}

async function* checkedRequests(
  method: ServedMethod,
  call: ServerReadableStream<Buffer, Buffer>,
  context: GrpcCallContext,
): AsyncGenerator<Message> {
  let isFirst = true;
  for await (const bytes of call.iterator({ destroyOnReturn: false })) {
    const request = decodeRequest(method, bytes);
    const version = checkRequest(method, request);
    if (isFirst) context.schemaVersion = version;
    isFirst = false;
    yield request;
  }
}
