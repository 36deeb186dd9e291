import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Kafka, logLevel } from "kafkajs";
import { sleep, systemClock } from "../clock.ts";
import { freePorts } from "./free-port.ts";
import { type GuardedProcess, startGuarded } from "./guarded-process.ts";
import { hasKafkaJars, kafkaJarsFolder } from "./kafka-jars.ts";

/** A single-node Kafka of our own on loopback ports, in a temporary folder. */
export interface PrivateKafka extends AsyncDisposable {
  readonly pid: number;
  readonly brokers: readonly string[];
  /** Ends the broker and deletes its data. May be called twice. */
  stop(): Promise<void>;
}

/** Only guards against hanging; even a slow machine takes less. */
const START_MS_MAX = 120_000;
const JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

function serverProperties(folder: string, brokerPort: number, controllerPort: number): string {
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=PLAINTEXT://127.0.0.1:${brokerPort},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${brokerPort}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=${join(folder, "log")}
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
`;
}

/** Formats and starts a broker (5 to 10 s, 512 MB of heap). It ends with this process, however that ends. */
export async function startPrivateKafka(): Promise<PrivateKafka> {
  if (!hasKafkaJars()) throw new Error("no Kafka found; run npm run services:setup");
  const folder = await mkdtemp(join(tmpdir(), "qmtl-kafka-"));
  const [brokerPort = 0, controllerPort = 0] = await freePorts(2);
  const properties = join(folder, "server.properties");
  await writeFile(properties, serverProperties(folder, brokerPort, controllerPort));
  const java = [...JVM, "-cp", join(kafkaJarsFolder(), "*")];
  const clusterId = randomBytes(16).toString("base64url").replace(/^-/, "A");
  const format = ["kafka.tools.StorageTool", "format", "-t", clusterId, "-c", properties];
  await promisify(execFile)("java", [...java, ...format], { cwd: folder });
  const server = startGuarded({
    command: "java",
    args: [...java, "kafka.Kafka", properties],
    folder,
    logFile: join(folder, "kafka.log"),
    stopSignal: "SIGKILL", // nothing of it is kept
  });
  const brokers = [`127.0.0.1:${brokerPort}`];
  await untilAnswering(server, brokers);
  return {
    pid: server.pid,
    brokers,
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

async function untilAnswering(server: GuardedProcess, brokers: string[]): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + START_MS_MAX;
  let hasEnded = false;
  void server.ended.then(() => {
    hasEnded = true;
  });
  const retry = { retries: 0 };
  const kafka = new Kafka({ clientId: "start", brokers, logLevel: logLevel.NOTHING, retry });
  for (;;) {
    const admin = kafka.admin({ retry });
    try {
      await admin.connect();
      const { brokers: seen } = await admin.describeCluster();
      if (seen.length === 1) return;
    } catch (cause) {
      if (hasEnded || systemClock.monotonicMs() > deadlineMs) {
        const tail = server.logTail();
        await server.stop();
        throw new Error(`Kafka did not start:\n${tail}`, { cause });
      }
    } finally {
      await admin.disconnect().catch(() => {});
    }
    await sleep(systemClock, 100);
  }
}
