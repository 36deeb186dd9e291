export { FakeGateway } from "./fake-gateway.ts";
export { FakeLog } from "./fake-log.ts";
export { ManualClock } from "./manual-clock.ts";
export { replayBars } from "./replay-bars.ts";
export { waitUntil } from "./wait-until.ts";
