import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient, type Transport } from "@connectrpc/connect";

/**
 * A Connect client whose server streams can be left early: breaking out of the loop cancels the call, which Connect's
 * own client keeps open until its signal aborts. The call of a stream begins with the first read.
 */
export function clientOf<S extends DescService>(service: S, transport: Transport): Client<S> {
  const client = createClient(service, transport);
  const streams = service.methods
    .filter(isServerStream)
    .map((method) => [method.localName, streamOf(transport, method)]);
  return Object.assign(client, Object.fromEntries(streams));
}

const isServerStream = (method: DescMethod): method is DescMethodServerStreaming =>
  method.methodKind === "server_streaming";

function streamOf<I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  method: DescMethodServerStreaming<I, O>,
) {
  return async function* read(
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void, void> {
    const left = new AbortController();
    const signal =
      options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal]);
    const { timeoutMs, headers, contextValues } = options;
    try {
      const answer = await transport.stream(
        method,
        signal,
        timeoutMs,
        headers,
        once(request),
        contextValues,
      );
      options.onHeader?.(answer.header);
      yield* answer.message;
      options.onTrailer?.(answer.trailer);
    } finally {
      left.abort();
    }
  };
}

async function* once<T>(item: T): AsyncGenerator<T> {
  yield item;
}
