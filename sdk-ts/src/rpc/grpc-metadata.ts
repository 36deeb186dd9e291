import { Metadata } from "@grpc/grpc-js";

/** What `new Headers()` takes; the name is of the DOM library, which this package does not load. */
export type HeadersInit = ConstructorParameters<typeof Headers>[0];

/** Request headers as gRPC metadata; `-bin` values are base64 in headers and bytes in metadata. */
export function metadataFromHeaders(init: HeadersInit | undefined): Metadata {
  const metadata = new Metadata();
  if (init === undefined) return metadata;
  for (const [key, value] of new Headers(init)) {
    if (key.endsWith("-bin")) metadata.add(key, Buffer.from(value, "base64"));
    else metadata.add(key, value);
  }
  return metadata;
}

/** gRPC metadata as headers; bytes become base64. */
export function headersFromMetadata(metadata: Metadata, into: Headers = new Headers()): Headers {
  for (const key of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(key)) {
      into.append(key, typeof value === "string" ? value : value.toString("base64"));
    }
  }
  return into;
}
