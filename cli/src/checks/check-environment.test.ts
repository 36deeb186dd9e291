import { expect, test } from "vitest";
import { checkEnvironment } from "./check-environment.ts";

test.each(["QMTL_GATEWAY_PORT", "QMTL_GATEWAY__PORT", "qmtl__gateway__port"])(
  "%s is told, with the variable that is meant",
  (variable) => {
    expect(checkEnvironment({ [variable]: "1" })).toMatchObject([
      {
        status: "warning",
        detail: `${variable} is set, but nothing reads it`,
        fix: "rename it to QMTL__GATEWAY__PORT",
      },
    ]);
  },
);

test("a variable that is read, and one that means nothing here, are left alone", () => {
  const env = { QMTL__GATEWAY__PORT: "1", QMTL_API_KEY: "k", QMTLX: "1", PATH: "/bin" };

  expect(checkEnvironment(env)).toEqual([]);
});
