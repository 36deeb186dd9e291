import { Metadata } from "@grpc/grpc-js";

/** What `new Headers()` takes; the name is of the DOM library, which this package does not load. */
export type HeadersInit = ConstructorParameters<typeof Headers>[0];

/** Request headers as gRPC metadata; `-bin` values are base64 in headers and bytes in metadata. */
export function metadataFromHeaders(init: HeadersInit | undefined): Metadata {
  const metadata = new Metadata();
  if (init === undefined) return metadata;
  for (const [key, value] of isPlain(init) ? Object.entries(init) : new Headers(init)) {
    if (key.endsWith("-bin")) metadata.add(key, Buffer.from(value, "base64"));
    else metadata.add(key, value);
  }
  return metadata;
}

/** True for a plain object of strings; `Metadata` checks names and values itself. */
function isPlain(init: NonNullable<HeadersInit>): init is Record<string, string> {
  return (
    Object.getPrototypeOf(init) === Object.prototype &&
    Object.values(init).every((value) => typeof value === "string")
  );
}

/** gRPC metadata as headers; bytes become base64. */
export function headersFromMetadata(
  metadata: Metadata | undefined,
  into: Headers = new Headers(),
): Headers {
  if (metadata === undefined) return into;
  for (const key of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(key)) {
      into.append(key, typeof value === "string" ? value : value.toString("base64"));
    }
  }
  return into;
}
