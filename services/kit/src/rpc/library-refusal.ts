import { Code, ConnectError } from "@connectrpc/connect";
import { QmtlError, qmtlErrorFrom } from "@qmtl/sdk/rpc";

/** The refusal of a message that is larger than the port accepts. */
export function tooLarge(bytesMax: number): QmtlError {
  const message = `the message is larger than the ${bytesMax} bytes that this port accepts`;
  return new QmtlError("MESSAGE_TOO_LARGE", message, { metadata: { max_bytes: String(bytesMax) } });
}

/** The refusal of a call of a method that does not exist at this port. */
export function notServed(path: string): QmtlError {
  const method = path.replace(/^\//, "");
  return new QmtlError("METHOD_NOT_SERVED", `${method} is not served at this port`, {
    metadata: { method },
  });
}

/** The refusal of a call by a library that speaks the protocol for us. */
interface LibraryRefusal {
  readonly code: Code;
  readonly message: string;
}

/** The same as our own refusal: the libraries have no reasons, and report mistakes of the caller as server faults. */
export function refusalOfLibrary({ code, message }: LibraryRefusal, bytesMax: number): QmtlError {
  switch (code) {
    case Code.ResourceExhausted:
      if (!/sent message|writeMaxBytes/i.test(message)) return tooLarge(bytesMax);
      return new QmtlError("MESSAGE_TOO_LARGE", "the answer is too large: ask for less at once");
    case Code.Unimplemented:
      // The rest is about a body that is not one message, such as none.
      if (!/compress/i.test(message)) return new QmtlError("INVALID_FIELD", message);
      return new QmtlError("FEATURE_NOT_BUILT", message, { metadata: { feature: "compression" } });
    case Code.Internal:
      if (/compress/i.test(message))
        return new QmtlError("INVALID_FIELD", "the message is not compressed as its headers say");
      if (/timeout/i.test(message)) return new QmtlError("INVALID_FIELD", message);
      break;
    case Code.InvalidArgument:
      return new QmtlError("INVALID_FIELD", message);
    default:
      break;
  }
  return qmtlErrorFrom(new ConnectError(message, code));
}
