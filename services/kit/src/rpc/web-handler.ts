import { Code, ConnectError, type ContextValues, createConnectRouter } from "@connectrpc/connect";
import {
  type ConnectNodeAdapterOptions,
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Logger } from "../logger.ts";
import type { RequestIntake } from "./request-intake.ts";
import { WebArrival } from "./web-arrival.ts";
import type { WebHandler, WebRequest } from "./web-guard.ts";
import { refuseMethod, withReason } from "./web-refusals.ts";

interface WebHandlerOptions
  extends Omit<ConnectNodeAdapterOptions, "contextValues" | "readMaxBytes"> {
  /** Largest request, bytes. */
  readonly readMaxBytes: number;
  /** Context values of a call; `requestGate` must read the arrival. */
  readonly contextOf: (request: WebRequest, arrival: WebArrival) => ContextValues;
  /** Counts the bodies that are arriving. */
  readonly intake: RequestIntake;
  readonly logger: Logger;
}

/** A path such as `/qmtl.world.v1.WorldService/GetWorld`: no file is named like this. */
const METHOD_PATH = /^\/\w+(?:\.\w+)+\/\w+$/;

/**
 * As `connectNodeAdapter`, but the body of a call is read within limits and only once the gate asks for it, and every
 * refusal has a reason.
 */
export function webHandler(options: WebHandlerOptions): WebHandler {
  const acceptCompression = [compressionGzip, compressionBrotli];
  const router = createConnectRouter({ acceptCompression, ...options });
  options.routes(router);
  const handlers = new Map(router.handlers.map((each) => [each.requestPath, each]));
  const { fallback, intake, logger, readMaxBytes: bytesMax } = options;
  return (request, response) => {
    const [path = ""] = (request.url ?? "").split("?", 1);
    endWithAnswer(request);
    const handler = handlers.get(path);
    if (handler === undefined) {
      if (fallback !== undefined && !METHOD_PATH.test(path)) fallback(request, response);
      else refuseMethod(request, response, path);
      return;
    }
    const arrival = new WebArrival(request, response, { intake, bytesMax });
    const values = options.contextOf(request, arrival);
    const call = universalRequestFromNodeRequest(request, response, undefined, values);
    const asked = {
      request: call,
      body: () => arrival.body,
      path,
      allowed: handler.allowedMethods,
      input: handler.method.input,
      bytesMax,
    };
    handler({ ...call, body: arrival })
      .then((answer) => withReason(asked, answer))
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch((error: unknown) => {
        if (ConnectError.from(error).code === Code.Aborted) return;
        logger.error("a call at the HTTP server failed", { method: path, error });
      });
  };
}

/** How long an answered caller may continue sending, milliseconds. */
const REST_MS_MAX = 1_000;

/** Ends an HTTP/2 stream once it is answered, even if its request is incomplete. HTTP/1.1 has a limit of its own. */
function endWithAnswer(request: WebRequest): void {
  if (!("stream" in request)) return;
  const { stream } = request;
  stream.once("finish", () => {
    if (stream.readableEnded) return;
    const timer = setTimeout(() => stream.close(), REST_MS_MAX);
    timer.unref();
    stream.once("close", () => clearTimeout(timer));
  });
}
