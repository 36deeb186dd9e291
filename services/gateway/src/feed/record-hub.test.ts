import { expect, test } from "vitest";
import { type LiveReader, RecordHub } from "./record-hub.ts";

const reader = (): LiveReader => ({
  takeRecords: () => {},
  takeSlice: () => {},
  lookAgain: () => {},
});

test("a queue is awaited while anybody but its own reader follows it", () => {
  const hub = new RecordHub();
  const [own, other] = [reader(), reader()];
  const isAwaited = () => hub.isAwaited(["a", "b"], own);
  const seen = [isAwaited()];
  hub.follow("a", own);
  seen.push(isAwaited());
  hub.follow("b", other);
  seen.push(isAwaited());
  hub.unfollow("b", other);
  seen.push(isAwaited());

  expect(seen).toEqual([false, false, true, false]);
});
