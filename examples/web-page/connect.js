// The Connect protocol with JSON, by fetch alone: what a page needs to call a platform without a library.
// A page with a build can take @connectrpc/connect-web and typed messages instead; the calls are the same.

/** A call that was answered with a refusal. Tell refusals apart by `reason`, never by the text. */
export class Refusal extends Error {
  constructor({ code, message, details = [] }) {
    super(message);
    const info = details.find(({ type }) => type === "google.rpc.ErrorInfo");
    this.reason = info?.debug?.reason ?? code;
  }
}

/** A message of a stream: one byte of flags, four bytes of length, then the JSON. */
const HEAD_BYTES = 5;
/** Flag of the last message of a stream, which says how the stream ended. */
const LAST = 2;

export class Platform {
  #address;
  #headers;

  /** `address`: the gateway's web port, such as http://127.0.0.1:7401. `key`: "" if the platform has no keys. */
  constructor(address, key) {
    this.#address = address.replace(/\/$/, "");
    this.#headers = { "connect-protocol-version": "1" };
    if (key !== "") this.#headers.authorization = `Bearer ${key}`;
  }

  /** Calls a method that answers once, such as "qmtl.world.v1.WorldService/ListWorlds". */
  async call(method, request) {
    const response = await this.#post(method, "application/json", JSON.stringify(request));
    const answer = await jsonOf(response);
    if (!response.ok) throw new Refusal(answer);
    return answer;
  }

  /** Calls a method that answers with a stream; ends it when the loop over it is left or `signal` aborts. */
  async *stream(method, request, signal) {
    const body = frameOf(new TextEncoder().encode(JSON.stringify(request)));
    const response = await this.#post(method, "application/connect+json", body, signal);
    if (!response.ok) throw new Refusal(await jsonOf(response));
    for await (const { flags, message } of framesOf(response.body.getReader())) {
      if ((flags & LAST) === 0) yield message;
      else if (message.error !== undefined) throw new Refusal(message.error);
    }
  }

  #post(method, type, body, signal) {
    const headers = { ...this.#headers, "content-type": type };
    return fetch(`${this.#address}/${method}`, { method: "POST", headers, body, signal });
  }
}

/** If something other than the platform answered, the status is all that can be reported. */
async function jsonOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { code: `http ${response.status}`, message: text.trim() };
  }
}

function frameOf(message) {
  const frame = new Uint8Array(HEAD_BYTES + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, HEAD_BYTES);
  return frame;
}

async function* framesOf(reader) {
  let bytes = new Uint8Array();
  try {
    for (;;) {
      while (bytes.length >= HEAD_BYTES) {
        const end = HEAD_BYTES + new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
        if (bytes.length < end) break;
        const message = JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD_BYTES, end)));
        yield { flags: bytes[0], message };
        bytes = bytes.subarray(end);
      }
      const { done, value } = await reader.read();
      if (done) return;
      const more = new Uint8Array(bytes.length + value.length);
      more.set(bytes);
      more.set(value, bytes.length);
      bytes = more;
    }
  } finally {
    await reader.cancel();
  }
}
