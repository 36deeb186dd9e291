import type { Admin, Kafka } from "kafkajs";
import { type Clock, sleep } from "../clock.ts";
import type { Logger } from "../logger.ts";

/** Waits of 100, 200, 400, 800 and 1,600 ms: a leader is elected, and known to its own broker, well within them. */
const RETRY_MS_FIRST = 100;
const TRIES = 6;

interface Question {
  kafka: Kafka;
  /** Used for the first attempt. */
  admin: Admin;
  clock: Clock;
  logger: Logger;
  signal: AbortSignal;
}

/**
 * Makes an admin call that survives a change of leaders, and a broker that is slow or does not know a new topic yet.
 * The library retries most calls by itself, but not reads of offsets or settings, nor the creation of topics: there
 * "not the leader", "unknown topic" and "timed out" end the call though another attempt would succeed, and the admin
 * goes on with the leaders it knew. So each further attempt uses an admin client of its own, which looks them up again.
 *
 * @throws the failure of the last attempt, or at once one that Kafka does not mark as retriable.
 */
export async function askKafka<T>(
  question: Question,
  ask: (admin: Admin) => Promise<T>,
): Promise<T> {
  const { kafka, clock, logger, signal } = question;
  for (let tries = 1; ; tries += 1) {
    try {
      return await (tries === 1 ? ask(question.admin) : askAnew(kafka, ask));
    } catch (error) {
      if (!isRetriable(error) || tries === TRIES || signal.aborted) throw error;
      logger.debug("kafka: trying again", { error });
      await sleep(clock, RETRY_MS_FIRST * 2 ** (tries - 1), signal);
    }
  }
}

async function askAnew<T>(kafka: Kafka, ask: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await ask(admin);
  } finally {
    await admin.disconnect();
  }
}

/** An error that holds several failures is retriable when all of them are. */
function isRetriable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("errors" in error && Array.isArray(error.errors)) return error.errors.every(isRetriable);
  return "retriable" in error && error.retriable === true;
}
