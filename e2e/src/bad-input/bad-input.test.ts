import { afterAll, beforeAll } from "vitest";
import { type BadInputStack, startBadInputStack } from "./bad-input-stack.ts";
import { csvCases } from "./csv-cases.ts";
import { graphCases } from "./graph-cases.ts";
import { heartbeatCases } from "./heartbeat-cases.ts";
import { orderCases } from "./order-cases.ts";
import { startUpCases } from "./start-up-cases.ts";
import { worldCases } from "./world-cases.ts";

// One platform for all cases: a refused request leaves nothing behind that the next one could find.
let stack: BadInputStack;
beforeAll(async () => {
  stack = await startBadInputStack();
}, 180_000);
afterAll(() => stack?.[Symbol.asyncDispose]());

graphCases(() => stack);
worldCases(() => stack);
heartbeatCases(() => stack);
csvCases(() => stack);
startUpCases(() => stack);
orderCases(() => stack);
