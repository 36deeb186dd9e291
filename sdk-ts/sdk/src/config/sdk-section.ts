import { z } from "zod";
import { gatewayUrlSchema } from "./service-sections.ts";

const timeoutMs = (most: number, least = 100) => z.int().min(least).max(most);

/** What strategies that run online go by. */
export const sdkSchema = z.strictObject({
  gateway_url: gatewayUrlSchema
    .default("http://127.0.0.1:7400")
    .describe(
      "Gateway that strategies submit to; a list where others stand by. Left out, it follows gateway.host and gateway.port, https where security.tls is set.",
    ),
  execution_domain: z
    .enum(["backtest", "dryrun", "live", "shadow"])
    .nullable()
    .default(null)
    .describe(
      "Highest domain a run here sends orders in, whatever its world grants: `dryrun` takes a live gate as shut; `backtest` and `shadow` send none at all. Null: as the world grants.",
    ),
  trade_mode: z
    .enum(["paper", "live"])
    .nullable()
    .default(null)
    .describe("Old name, on its way out: `paper` is execution_domain: dryrun, `live` is live."),
  request_timeout_ms: timeoutMs(60_000)
    .default(2_000)
    .describe("Longest wait for an answer that has no deadline of its own, ms."),
  stream_silence_ms_max: timeoutMs(300_000, 4_000)
    .default(6_000)
    .describe(
      "A control stream silent for this long is opened again, ms; progress marks come every 2000. The gate does not wait for it: its lease runs out.",
    ),
  stream_total_ms_max: timeoutMs(86_400_000)
    .nullable()
    .default(null)
    .describe("Age at which a control stream is closed and opened again, ms; null: none."),
  poll_interval_ms: timeoutMs(3_600_000)
    .default(10_000)
    .describe("How often a tag query asks for its queues without being told of a change, ms."),
});
