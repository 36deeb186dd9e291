import { expect, test } from "vitest";
import { connectTo } from "./connect-to.ts";

test.each([
  ["a line break", "secret-1\nsecret-2"],
  ["a control character", "secret-1\u0007"],
  ["a letter outside ASCII", "secret-\u00e9"],
])("a key with %s is refused as a setting, and not shown", (_, apiKey) => {
  const connect = () => connectTo("http://127.0.0.1:1", { apiKey });

  expect(connect).toThrow(expect.objectContaining({ reason: "CONFIG_INVALID" }));
  expect(connect).toThrow(/QMTL_API_KEY/);
  expect(connect).not.toThrow(/secret/);
});

test("a key with a line end after it, as a file has it, is taken", () => {
  connectTo("http://127.0.0.1:1", { apiKey: "secret\n" }).close();
});
