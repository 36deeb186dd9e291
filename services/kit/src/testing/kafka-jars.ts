import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheFolder } from "../cache-folder.ts";

export const kafkaVersion = "4.4.0";
const TRIES_MAX = 3;

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.qmtl</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${kafkaVersion}</version></dependency>
    <!-- Without a binding the broker's own messages are lost. -->
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version></dependency>
  </dependencies>
</project>
`;

/** Folder of the Kafka broker's jars in the cache; it is complete or does not exist. */
export function kafkaJarsFolder(): string {
  return join(cacheFolder(), `kafka-${kafkaVersion}`, "lib");
}

/** Whether a broker can be started here. */
export function hasKafkaJars(): boolean {
  return existsSync(kafkaJarsFolder());
}

/** Fetches the jars with Maven unless they are in the cache. Safe in several processes at once. */
export async function fetchKafkaJars(): Promise<void> {
  const lib = kafkaJarsFolder();
  if (existsSync(lib)) return;
  const project = await mkdtemp(join(tmpdir(), "qmtl-kafka-jars-"));
  const unfinished = `${lib}.${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(unfinished, { recursive: true });
    await writeFile(join(project, "pom.xml"), POM);
    const args = ["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"];
    await fetched([...args, `-DoutputDirectory=${unfinished}`], project);
    await rename(unfinished, lib).catch((cause: unknown) => {
      if (!existsSync(lib)) throw cause; // else another process was first
    });
  } finally {
    await rm(project, { recursive: true, force: true });
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** Runs Maven, at most `TRIES_MAX` times: after a failure it continues where a repository failed. */
async function fetched(args: readonly string[], cwd: string): Promise<void> {
  const options = { cwd, timeout: 300_000, maxBuffer: 16 * 1024 * 1024 };
  for (let tries = 1; ; tries += 1) {
    try {
      await promisify(execFile)("mvn", args, options);
      return;
    } catch (failure) {
      if (tries === TRIES_MAX) throw failure;
    }
  }
}
