import { makeIntentFirstNodeset, Strategy, TagQueryNode } from "@qmtl/sdk";
import { meanChange } from "./mean-change.ts";

/**
 * Breadth: the mean change over 20 days of whatever carries the tag `equity` → target for LEAD.
 *
 * It names no stream. Which ones it reads depends on which are there: online it follows them as they come and go.
 */
export class TagQuery extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const breadth = new TagQueryNode({
      name: "breadth",
      queryTags: ["equity"],
      matchMode: "any",
      interval: "1d",
      period: 21,
      compute: (windows) => meanChange(windows),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "breadth target",
        signal: breadth,
        instrument: "LEAD",
        worldId: this.worldId,
        thresholds: { longEnter: 0.01, longExit: -0.01 },
      }),
    );
  }
}
