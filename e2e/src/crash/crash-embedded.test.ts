import { describe, expect, test } from "vitest";
import { findViolations } from "./check-story.ts";
import { tellStory } from "./tell-story.ts";

/** Half of the deck of failpoints, and random kills between them. */
const KILLS = 20;

describe("a platform on the embedded database that is killed again and again", () => {
  test("sends no order outside permission, sends none twice, loses nothing it acknowledged", {
    timeout: 600_000,
  }, async () => {
    const story = await tellStory({ seed: 11, kills: KILLS, offset: 0 });

    expect(findViolations(story.record)).toEqual([]);
    expect(story.deaths).toHaveLength(KILLS);
    expect(story.deaths.filter((death) => death.isReached).length).toBeGreaterThan(KILLS / 2);
    expect(story.record.accepted.length).toBeGreaterThan(KILLS);
  });
});
