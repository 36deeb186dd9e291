import { z } from "zod";
import { gatewayUrlSchema } from "./service-sections.ts";

const timeoutMs = (most: number, least = 100) => z.int().min(least).max(most);

/** Section `sdk`: settings of strategies that run online. */
export const sdkSchema = z.strictObject({
  gateway_url: gatewayUrlSchema
    .default("http://127.0.0.1:7400")
    .describe(
      "Gateway that strategies are submitted to; a list if there are standbys. Left out, it follows gateway.host and gateway.port, with https if security.tls is set.",
    ),
  execution_domain: z
    .enum(["backtest", "dryrun", "live", "shadow"])
    .nullable()
    .default(null)
    .describe(
      "Highest domain in which a run here sends orders, whatever its world grants: `dryrun` treats a live gate as shut; `backtest` and `shadow` send none at all. Null: what the world grants.",
    ),
  trade_mode: z
    .enum(["paper", "live"])
    .nullable()
    .default(null)
    .describe("Deprecated name: `paper` is execution_domain: dryrun, `live` is live."),
  request_timeout_ms: timeoutMs(60_000)
    .default(2_000)
    .describe("Timeout of a call that has no deadline of its own, ms."),
  stream_silence_ms_max: timeoutMs(300_000, 4_000)
    .default(6_000)
    .describe(
      "A control stream silent for this long is opened again, ms; progress marks come every 2000. The gate does not wait for it: its lease runs out.",
    ),
  stream_total_ms_max: timeoutMs(86_400_000)
    .nullable()
    .default(null)
    .describe("Age at which a control stream is closed and opened again, ms; null: never."),
  poll_interval_ms: timeoutMs(3_600_000)
    .default(10_000)
    .describe(
      "Interval at which a tag query asks for its queues, even without notice of a change, ms.",
    ),
});
