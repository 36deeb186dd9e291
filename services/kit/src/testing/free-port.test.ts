import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { freePorts } from "./free-port.ts";

it("gives ports that no outgoing connection can take, each once, and none that is in use", async () => {
  const [before = 0] = await freePorts(1);
  const taken = createServer().listen(before + 1, "127.0.0.1");
  await once(taken, "listening").catch(() => {}); // else another has it
  const after = [...(await freePorts(20)), ...(await freePorts(20))];
  taken.close();

  expect(new Set(after).size).toBe(40);
  expect(after).not.toContain(before);
  expect(after).not.toContain(before + 1);
  expect(Math.max(before, ...after)).toBeLessThan(32_768);
});
