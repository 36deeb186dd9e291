// A runner reduced to its messages: `node barrier-limit.child.ts PORT`. Answers each frame of a row with 600 bytes.
import { Client, credentials } from "@grpc/grpc-js";

const answerBytes = 600;
const windowRows = 20;
const asIs = (bytes: Buffer): Buffer => bytes;
const client = new Client(`127.0.0.1:${process.argv[2]}`, credentials.createInsecure());
const call = client.makeBidiStreamRequest("/qmtl.bench.Barrier/Attach", asIs, asIs);
const window = new Float64Array(windowRows);
let mean = 100;

/** The row, a side and a sum over the last closes: about what three indicators cost. */
function answered(frame: Buffer): Buffer {
  const row = frame.readUInt32LE(0);
  const close = frame.readDoubleLE(8);
  mean += 0.1 * (close - mean);
  window[row % windowRows] = close;
  let sum = 0;
  for (const each of window) sum += each;
  const answer = Buffer.alloc(answerBytes);
  answer.writeUInt32LE(row, 0);
  answer.writeDoubleLE(mean > close ? 1 : -1, 8);
  answer.writeDoubleLE(sum, 16);
  return answer;
}

const leave = () => process.exit(0);
call.on("data", (frame: Buffer) => call.write(answered(frame)));
call.on("error", leave);
call.on("end", leave);
