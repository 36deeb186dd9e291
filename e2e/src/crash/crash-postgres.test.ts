import { describePostgres } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { findViolations } from "./check-story.ts";
import { tellStory } from "./tell-story.ts";

/** The other half of the deck. */
const KILLS = 20;

describePostgres("a platform on PostgreSQL that is killed again and again", (server) => {
  test("sends no order outside permission, sends none twice, loses nothing it acknowledged", {
    timeout: 600_000,
  }, async () => {
    const dsn = await server().createDatabase();

    const story = await tellStory({ seed: 12, kills: KILLS, offset: 16, dsn });

    expect(findViolations(story.record)).toEqual([]);
    expect(story.deaths).toHaveLength(KILLS);
    expect(story.deaths.filter((death) => death.isReached).length).toBeGreaterThan(KILLS / 2);
    expect(story.record.accepted.length).toBeGreaterThan(KILLS);
  });
});
