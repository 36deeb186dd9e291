import { create } from "@bufbuild/protobuf";
import { ResumeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { expect, test } from "vitest";
import { resumedLines } from "./halt.ts";

const everything = { target: { target: { case: "everything", value: {} } } } as const;
const account = {
  haltId: "h-2",
  target: { target: { case: "accountId", value: "paper" } },
} as const;

test("a resume of everything names the worlds that an order written too late had shut, and what is still halted", () => {
  const answer = create(ResumeResponseSchema, {
    halt: everything,
    inForce: [account],
    clientOrderIds: ["q7"],
    reopenedWorldIds: ["w1", "w2"],
  });

  expect(resumedLines(answer)).toEqual([
    "resumed everything; 1 catch-up orders sent",
    "opened again: world w1, world w2, which an order written too late had shut",
    "still halted: account paper (h-2)",
  ]);
});

test("a resume of a world without a halt names it as the one that is open again", () => {
  const answer = create(ResumeResponseSchema, { reopenedWorldIds: ["w1"] });

  expect(resumedLines(answer)).toEqual([
    "resumed world w1, which an order written too late had shut; 0 catch-up orders sent",
  ]);
});
