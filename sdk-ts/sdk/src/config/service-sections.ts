import { z } from "zod";
import { addressesOf } from "../rpc/addresses.ts";

const port = z.int().min(1).max(65_535);
const notAddress = "not an http or https address";
const url = z.url({ protocol: /^https?$/, error: notAddress });
/** One address, or several of which one leads: a list or a comma-separated text. A list becomes such a text. */
const urls = z.union(
  [
    url,
    z.string().refine((text) => addressesOf(text).length > 1 && addressesOf(text).every(isUrl)),
    z
      .array(url)
      .min(1)
      .transform((list) => list.join(",")),
  ],
  { error: `${notAddress}, nor a list of such addresses` },
);
/** Address of a gateway, or of several. */
export const gatewayUrlSchema = urls;

function isUrl(text: string): boolean {
  return url.safeParse(text).success;
}
const host = z.string().min(1).max(255);

/** Largest number of web origins; each request of a page is compared with all of them. */
const webOriginsMax = 32;
/** Origin of a web page exactly as a browser sends it: it is compared letter by letter. */
const webOrigin = z.string().superRefine((text, context) => {
  const message = whyNotOrigin(text);
  if (message !== undefined) context.addIssue({ code: "custom", message });
});

function whyNotOrigin(text: string): string | undefined {
  if (text.includes("*"))
    return "must name one origin: * would let every web page call as the person viewing it";
  const form = "must be scheme://host or scheme://host:port with http or https";
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) return form;
  return url.origin === text ? undefined : `${form}, as a browser sends it: ${url.origin}`;
}

export const gatewaySchema = z.strictObject({
  id: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, "letters, digits, _ - only, at most 64")
    .default("gateway-1")
    .describe("Name of this gateway; each of several gateways needs its own."),
  host: host.default("127.0.0.1").describe("Address to listen on."),
  port: port.default(7_400).describe("Port of the gRPC server."),
  web_port: port.default(7_401).describe("Port of the HTTP server."),
  web_origins: z
    .array(webOrigin)
    .max(webOriginsMax)
    .default([])
    .describe(
      'Other origins whose web pages may call the HTTP server, such as "http://localhost:5173". With none, only pages of its own address may.',
    ),
  ticket_ttl_seconds: z
    .int()
    .min(10)
    .max(3_600)
    .default(300)
    .describe("Lifetime of a control stream ticket, s."),
  enforce_live_guard: z
    .boolean()
    .default(true)
    .describe(
      "Refuse live unless the caller consents explicitly. One of the three consents that live requires.",
    ),
  dag_manager_url: urls
    .default("http://127.0.0.1:7410")
    .describe(
      "Address of the DAG Manager; a list if several run, of which one leads. Follows dag_manager.host and port unless set.",
    ),
  world_service_url: urls
    .default("http://127.0.0.1:7420")
    .describe(
      "Address of WorldService; a list if several run, of which one leads. Follows world_service.host and port unless set.",
    ),
  rebalance_schema_version: z
    .int()
    .min(1)
    .max(2)
    .default(1)
    .describe("Highest rebalancing schema version the gateway asks for."),
});

export const dagManagerSchema = z.strictObject({
  host: host.default("127.0.0.1").describe("Address to listen on."),
  port: port.default(7_410).describe("Port of the gRPC server."),
  node_lease_ms: z
    .int()
    .min(3_000)
    .max(60_000)
    .default(10_000)
    .describe("Duration of a node lease, ms."),
  node_renew_ms: z
    .int()
    .min(100)
    .max(20_000)
    .default(3_000)
    .describe("Interval between renewals by a holder, ms."),
  node_margin_ms: z
    .int()
    .min(0)
    .max(20_000)
    .default(1_000)
    .describe("Safety margin a holder subtracts from its lease, ms."),
});

export const worldServiceSchema = z.strictObject({
  host: host.default("127.0.0.1").describe("Address to listen on."),
  port: port.default(7_420).describe("Port of the gRPC server."),
  compat_rebalance_v2: z
    .boolean()
    .default(false)
    .describe("Answer rebalancing requests in schema version 2."),
  alpha_metrics_required: z
    .boolean()
    .default(false)
    .describe("Refuse rebalancing requests below version 2. Needs compat_rebalance_v2."),
  default_lease: z
    .strictObject({
      lease_ms: z
        .int()
        .min(1_000)
        .max(30_000)
        .default(10_000)
        .describe("Duration of an order lease, ms."),
      renew_ms: z
        .int()
        .min(100)
        .max(10_000)
        .default(2_000)
        .describe("Interval between renewals by a session, ms."),
      margin_ms: z
        .int()
        .min(0)
        .max(10_000)
        .default(1_000)
        .describe("Safety margin a session subtracts from its lease, ms."),
      emit_max_ms: z
        .int()
        .min(1)
        .max(10_000)
        .default(300)
        .describe("Longest pause between gate check and write, of runners and of the router, ms."),
      freeze_timeout_ms: z
        .int()
        .min(1_000)
        .max(600_000)
        .default(30_000)
        .describe("Longest time from freeze to unfreeze of an apply, ms."),
      switch_ack_ms: z
        .int()
        .min(100)
        .max(60_000)
        .default(5_000)
        .describe("Longest wait for acknowledgements of a switch, ms."),
      session_dead_ms: z
        .int()
        .min(100)
        .max(60_000)
        .default(4_000)
        .describe("Silence after which a session is no longer live, ms."),
    })
    .prefault({})
    .describe("Order lease of a new world; a world may set its own."),
});
