import { connect } from "node:net";

/**
 * Sends `count` HTTP/1.1 requests that announce 1,040,000 bytes and stop after 1,000,000, each on a connection of its
 * own, and waits until `answers` of them are answered. Prints how many had which status.
 */
const [port = "", count = "0", answers = "0"] = process.argv.slice(2);
const head = [
  "POST /qmtl.gateway.v1.GatewayService/GetSubmission HTTP/1.1",
  "host: 127.0.0.1",
  "content-type: application/json",
  "content-length: 1040000",
].join("\r\n");
const body = Buffer.concat([Buffer.from(`${head}\r\n\r\n`), Buffer.alloc(1_000_000, " ")]);

const statuses = new Map<string, number>();
let left = Number(answers);
await new Promise<void>((resolve) => {
  for (let at = 0; at < Number(count); at += 1) {
    const socket = connect({ host: "127.0.0.1", port: Number(port) });
    socket.on("error", () => {});
    socket.once("data", (answer: Buffer) => {
      const status = answer.toString("latin1", 9, 12);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      left -= 1;
      if (left === 0) resolve();
    });
    socket.write(body);
  }
});
process.stdout.write(JSON.stringify(Object.fromEntries(statuses)));
process.exit(0);
