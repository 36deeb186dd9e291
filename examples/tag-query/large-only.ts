import { makeIntentFirstNodeset, Strategy, TagQueryNode } from "@qmtl/sdk";
import { meanChange } from "./mean-change.ts";

/** The same over the streams that carry both tags, `equity` and `large`: `matchMode: "all"`. */
export class LargeOnly extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const breadth = new TagQueryNode({
      name: "large breadth",
      queryTags: ["equity", "large"],
      matchMode: "all",
      interval: "1d",
      period: 21,
      compute: (windows) => meanChange(windows),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "large target",
        signal: breadth,
        instrument: "LEAD",
        worldId: this.worldId,
        thresholds: { longEnter: 0.01, longExit: -0.01 },
      }),
    );
  }
}
