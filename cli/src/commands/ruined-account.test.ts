import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { type OpenServer, openGrpcServer, serve } from "@qmtl/service-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

const ruin = {
  ruinTime: timestampFromMs(Date.UTC(2022, 2, 28)),
  equity: { value: "-25723.04" },
};
const money = { cash: { value: "-25723.04" }, equity: { value: "-25723.04" }, reconciled: true };
const ruined = { accountId: "main", currency: "USD", ...money, ruin };
const live = { accountId: "other", currency: "USD", ...money, reconciled: true };
/** Ruined before the time was kept. */
const earlier = { ...live, accountId: "third", ruin: {} };

const services = [
  serve(AccountService, {
    getAccount: async () => ({ account: ruined }),
    listAccounts: async () => ({ accounts: [ruined, live, earlier] }),
  }),
  serve(GatewayService, { explainStrategy: async () => ({ summary: "It is paper.", ruin }) }),
];

let server: OpenServer;
beforeAll(async () => {
  server = await openGrpcServer({ services, schemaRange: () => ({ min: 1, max: 2 }) });
});
afterAll(() => server.close());

const qmtl = (...args: readonly string[]) =>
  runInProcess("--gateway-url", `http://127.0.0.1:${server.port}`, ...args);

const line =
  "ruined since 2022-03-28T00:00:00.000Z, at an equity of -25723.04 (ACCOUNT_RUINED): no order is taken on it any more; trade on an account of another name";
const json = { ruin_time: "2022-03-28T00:00:00Z", equity: { value: "-25723.04" } };

test("account show and account list name a ruin, in text and in JSON", async () => {
  const show = await qmtl("account", "show", "main");
  const list = await qmtl("account", "list");
  const shown = await qmtl("account", "show", "main", "--json");
  const listed = await qmtl("account", "list", "--json");

  expect(show.out.join("\n").split("\n").at(-1)).toBe(line);
  expect(list.out.map((row) => row.trim().split(/ +/).at(-1))).toEqual([
    "RUINED",
    "2022-03-28T00:00:00.000Z",
    "-",
    "yes",
  ]);
  expect(JSON.parse(shown.out.join(""))).toMatchObject({ account: { ruin: json } });
  expect(JSON.parse(listed.out.join(""))[0]).toMatchObject({ ruin: json });
});

test("explain names the ruin of the account of a world", async () => {
  const id = "s-00000000000000aa";

  expect((await qmtl("explain", "demo", id)).out).toContain(`account of the world: ${line}`);
  const { out } = await qmtl("explain", "demo", id, "--json");
  expect(JSON.parse(out.join(""))).toMatchObject({ ruin: json });
});
