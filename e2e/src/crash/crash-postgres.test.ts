import { describePostgres } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { findViolations } from "./check-story.ts";
import { tellStory } from "./tell-story.ts";

/** Eight of the deck; the soak plays more. */
const KILLS = 8;

describePostgres("a platform on PostgreSQL that is killed again and again", (server) => {
  test("sends no order outside permission, sends none twice, loses nothing it acknowledged", {
    timeout: 600_000,
  }, async () => {
    const dsn = await server().createDatabase();

    const story = await tellStory({ seed: 6, kills: KILLS, offset: 9, dsn });

    expect(findViolations(story.record)).toEqual([]);
    expect(story.deaths).toHaveLength(KILLS);
    expect(story.deaths.filter((death) => death.isReached).length).toBeGreaterThan(KILLS / 2);
    expect(story.record.accepted.length).toBeGreaterThan(KILLS);
  });
});
