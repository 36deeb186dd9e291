import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { installDebianPackage } from "./debian-package.ts";
import { fetchKafkaJars, hasKafkaJars, kafkaVersion } from "./kafka-jars.ts";
import { findPostgresBinaries } from "./private-postgres.ts";

const run = promisify(execFile);

/** Whether one server can be started. */
export interface ServiceSetup {
  service: string;
  /** undefined when it is ready, else why it is not. */
  missing: string | undefined;
}

/**
 * Makes sure that the servers the tests use can be started: PostgreSQL (installed when this is root on Debian)
 * and the Kafka broker's jars (fetched with Maven). Quick when they are there.
 */
export async function setupServices(): Promise<ServiceSetup[]> {
  return [
    { service: "postgres", missing: await whyMissing(setupPostgres) },
    { service: `kafka ${kafkaVersion}`, missing: await whyMissing(setupKafka) },
  ];
}

async function whyMissing(setup: () => Promise<void>): Promise<string | undefined> {
  try {
    await setup();
    return undefined;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    return message.trim().split("\n").slice(0, 3).join(" | ");
  }
}

async function setupPostgres(): Promise<void> {
  if (findPostgresBinaries() !== undefined) return;
  await installDebianPackage("postgresql", "initdb");
  if (findPostgresBinaries() === undefined) throw new Error("the postgresql package has no initdb");
}

async function setupKafka(): Promise<void> {
  await requireCommand("java", "-version", "Java 17 or later");
  if (hasKafkaJars()) return;
  await requireCommand("mvn", "-version", "Maven, to fetch the broker");
  await fetchKafkaJars();
}

async function requireCommand(command: string, flag: string, what: string): Promise<void> {
  await run(command, [flag]).catch((cause: unknown) => {
    throw new Error(`needs ${what} (${command})`, { cause });
  });
}
