import { expect, test } from "vitest";
import { channelWords } from "./channel-words.ts";

const lastError = (error: string) =>
  `round_robin: No connection established. Last error: No connection established. Last error: ${error}. Resolution note: `;

test.each([
  [
    "Deadline exceeded after 10.001s,metadata filters: 0.019s,LB pick: 0.001s,remote_addr=127.0.0.1:7400",
    "no answer within 10 s",
  ],
  ["Deadline exceeded after 0.612s,LB pick: 0.610s", "no answer within 0.6 s"],
  ["Deadline exceeded", "no answer in time"],
  [
    lastError("Error: connect ECONNREFUSED 127.0.0.1:7410"),
    "nothing answers at 127.0.0.1:7410 (connection refused)",
  ],
  [lastError("Error: connect EPERM 10.0.0.1:7410"), "nothing answers at 10.0.0.1:7410 (EPERM)"],
  [
    lastError("Protocol error (2026-11-23T06:26:18.996Z)"),
    "what listens there does not speak gRPC",
  ],
  [lastError("Error: self-signed certificate"), "self-signed certificate"],
  ["No connection established. Last error: null. Resolution note: ", "no connection"],
  [
    "Name resolution failed for target dns:nohost.invalid:80",
    "there is no such host: nohost.invalid",
  ],
  [
    "Received RST_STREAM with code 2 triggered by internal client error: read ECONNRESET",
    "the connection broke before the response",
  ],
])("what the channel says reaches nobody raw: %s", (raw, words) => {
  expect(channelWords(raw)).toBe(words);
});

test("what a server says passes as it is", () => {
  expect(channelWords("there is no world w1")).toBe("there is no world w1");
});
