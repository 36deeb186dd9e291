import { z } from "zod";
import { timeText } from "./data-sections.ts";
import { secretRefSchema } from "./secret-ref.ts";

export const storageSchema = z.strictObject({
  kind: z
    .enum(["embedded", "postgres"])
    .default("embedded")
    .describe("`embedded`: a database in `data_dir`. `postgres`: the one at `dsn`."),
  data_dir: z
    .string()
    .min(1)
    .default(".qmtl/data")
    .describe(
      "Folder of the embedded database. A service in a process of its own has one beside it, named after it: `.qmtl/data-gateway`.",
    ),
  dsn: secretRefSchema
    .nullable()
    .default(null)
    .describe("Reference to the PostgreSQL connection string."),
});

export const busSchema = z.strictObject({
  kind: z
    .enum(["embedded", "direct", "kafka"])
    .default("embedded")
    .describe(
      "`embedded`: a log in the embedded database; services in processes of their own then use `direct`. `direct`: each service keeps a log of its own, and the gateway follows it over gRPC. `kafka`: the brokers below.",
    ),
  brokers: z
    .array(z.string().regex(/^[^\s:]+:\d{1,5}$/, "not host:port"))
    .max(100)
    .default([])
    .describe("Kafka brokers, host:port."),
  topic_prefix: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{1,100}$/, "letters, digits, . _ - only")
    .default("qmtl")
    .describe("First part of every topic name."),
});

export const securitySchema = z.strictObject({
  keys: z
    .record(
      z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "letters, digits, _ - only, at most 64"),
      z.strictObject({
        principal: z
          .string()
          .min(1)
          .max(100)
          .describe("Name of the key's holder, as the audit shows it."),
        role: z
          .enum(["owner", "operator", "researcher", "viewer", "adapter"])
          .describe(
            "What the holder may do: viewer reads, researcher runs strategies, operator promotes and halts, owner allows live; adapter publishes rows.",
          ),
        secret: secretRefSchema.describe("Reference to the key itself."),
      }),
    )
    .default({})
    .describe(
      "Callers by key id. Without keys only calls over loopback are served, as principal `local`.",
    ),
  gateways: z
    .record(
      z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "letters, digits, _ - only, at most 64"),
      z.strictObject({
        secret: secretRefSchema.describe(
          "Secret with which the gateway signs for its callers, at least 32 bytes; the services behind it know it, too.",
        ),
      }),
    )
    .default({})
    .describe(
      "Gateways, by id, whose signature the services behind them accept. Without any, `qmtl up` makes a secret for itself, and services on loopback share one, created at the first start in the user's state folder.",
    ),
  tls: z
    .strictObject({
      cert: z.string().min(1).describe("Certificate chain, PEM file."),
      key: z.string().min(1).describe("Private key, PEM file."),
    })
    .nullable()
    .default(null)
    .describe("Certificate of the services' servers."),
  ca_file: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Certificate authorities to trust at https addresses, PEM file; null: those of the system.",
    ),
});

export const telemetrySchema = z.strictObject({
  log_level: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least severe message that is logged."),
  metrics_port: z
    .int()
    .min(1)
    .max(65_535)
    .nullable()
    .default(null)
    .describe(
      "Port of the Prometheus page, /metrics at 127.0.0.1; null: none. Each of several processes needs its own.",
    ),
});

export const cacheSchema = z.strictObject({
  tagquery_cache_path: z
    .string()
    .min(1)
    .default(".qmtl/tagmap.json")
    .describe("File with the last known queues of each tag query, for offline runs."),
});

export const testSchema = z.strictObject({
  test_mode: z
    .boolean()
    .default(false)
    .describe(
      "For tests: timeouts of `sdk` that the file leaves out are short, and failpoints and planted faults are allowed.",
    ),
  history_start: timeText
    .nullable()
    .default(null)
    .describe(
      "The first bar of an offline run is the first that ends after it; null: the first row.",
    ),
  history_end: timeText
    .nullable()
    .default(null)
    .describe(
      "Bars that have ended by then are those of an offline run, a date means the end of its day; null: the last row.",
    ),
});
