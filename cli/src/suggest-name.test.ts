import { createRouterTransport } from "@connectrpc/connect";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { clientOf, QmtlError } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import type { CommandSession } from "./session.ts";
import { suggestionFor, withSuggestion } from "./suggest-name.ts";

test("the nearest name is told, or the first few there are", () => {
  const known = ["demo", "paper", "bold-world"];

  expect(suggestionFor("dmo", known)).toBe("did you mean demo?");
  expect(suggestionFor("bald-wrold", known)).toBe("did you mean bold-world?");
  expect(suggestionFor("PAPER", known)).toBe("did you mean paper?");
  expect(suggestionFor("nothing", known)).toBe("there is demo, paper, bold-world;");
  expect(suggestionFor("demo", [])).toBe("there is none yet;");
  const many = Array.from({ length: 30 }, (_, at) => `world-${at}`);
  expect(suggestionFor("zzz", many)).toMatch(/^there is world-0, .*world-9, …;$/);
});

/** A session whose gateway knows these worlds, two on a page. */
function sessionWith(worlds: readonly string[]): Pick<CommandSession, "client"> {
  const transport = createRouterTransport((router) => {
    router.service(WorldService, {
      listWorlds({ pageToken }) {
        const from = Number(pageToken);
        const nextPageToken = from + 2 < worlds.length ? String(from + 2) : "";
        return {
          worlds: worlds.slice(from, from + 2).map((worldId) => ({ worldId })),
          nextPageToken,
        };
      },
    });
  });
  return { client: (service) => clientOf(service, transport) };
}

test("a world that is not there is refused under its reason, with the nearest of all pages", async () => {
  const failure = new QmtlError("WORLD_NOT_FOUND", "there is no world pper", {
    metadata: { world_id: "pper" },
  });

  const told = await withSuggestion(sessionWith(["a", "b", "c", "paper"]), failure);

  expect(told).toMatchObject({
    message: "there is no world pper",
    reason: "WORLD_NOT_FOUND",
    exitCode: 1,
    hint: "did you mean paper? `qmtl world list` lists the worlds there are",
  });
});

test("a name where the id of a strategy is wanted is answered with its id", async () => {
  const failure = new QmtlError("STRATEGY_NOT_FOUND", "no strategy Momentum", {
    metadata: { strategy: "Momentum", strategy_id: "s-0123456789abcdef" },
  });

  expect(await withSuggestion(sessionWith([]), failure)).toMatchObject({
    reason: "STRATEGY_NOT_FOUND",
    hint: "the last strategy submitted under the name Momentum is s-0123456789abcdef: give that id",
  });
});

test("a hint that cannot be had hides no failure, and no other failure gets one", async () => {
  const broken = createRouterTransport((router) => {
    router.service(WorldService, {});
  });
  const session: Pick<CommandSession, "client"> = {
    client: (service) => clientOf(service, broken),
  };
  const failure = new QmtlError("WORLD_NOT_FOUND", "no", { metadata: { world_id: "x" } });

  expect(await withSuggestion(session, failure)).toBe(failure);
  const other = new QmtlError("ETAG_MISMATCH", "no");
  expect(await withSuggestion(session, other)).toBe(other);
});
