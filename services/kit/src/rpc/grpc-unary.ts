import { checkRole } from "./call-access.ts";
import { GrpcCallContext, principalOfCall } from "./grpc-call.ts";
import type { UnaryHandler } from "./local-calls.ts";
import { withFieldNamed } from "./not-found-field.ts";
import { answerBytes, checkCall, decodeRequest } from "./request-check.ts";
import { notBuilt, type ServedMethod } from "./served-method.ts";
import type { ServerSetup } from "./server-setup.ts";
import { grpcFailure, refusalOf } from "./wire-error.ts";

/** A unary method at the gRPC server: bytes in, bytes out. */
export function unaryOfGrpcServer(setup: ServerSetup, method: ServedMethod): UnaryHandler {
  return (call, callback) => {
    const fail = (failure: unknown) =>
      callback(grpcFailure(refusalOf(failure, method, setup.logger)));
    try {
      const active = setup.calls.begin(false, fail);
      call.on("cancelled", () => active.cancelled());
      const end = (failure: unknown) => {
        if (active.finish()) fail(failure);
      };
      try {
        const principal = principalOfCall(setup, call);
        checkRole(method.access, principal, method.feature);
        if (method.call?.kind !== "unary") throw notBuilt(method.feature);
        const request = decodeRequest(method, call.request);
        const checked = checkCall(setup, method, request, principal);
        const context = new GrpcCallContext(setup, call, active, checked);
        method.call
          .invoke(request, context)
          .then((answer) => {
            if (active.isOver) return;
            const bytes = answerBytes(method, answer, checked.version);
            active.finish();
            callback(null, bytes);
          })
          .catch((failure: unknown) => end(withFieldNamed(failure, method.desc.input, request)));
      } catch (failure) {
        end(failure);
      }
    } catch (failure) {
      fail(failure);
    }
  };
}
