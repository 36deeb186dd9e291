import { expect, test } from "vitest";
import { isLoopbackHost } from "./loopback-host.ts";

test("only addresses of this machine are loopback", () => {
  expect(["127.0.0.1", "localhost", "::1", "127.1.2.3"].every(isLoopbackHost)).toBe(true);
  expect(["0.0.0.0", "::", "10.0.0.1", "127.example.org"].some(isLoopbackHost)).toBe(false);
});
