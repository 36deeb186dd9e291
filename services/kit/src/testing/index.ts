export { startChildScript } from "./child-script.ts";
export { countedDb } from "./counted-db.ts";
export { installDebianPackage } from "./debian-package.ts";
export {
  describeKafka,
  describeOwnPostgres,
  describePostgres,
  type TestPostgres,
} from "./describe-servers.ts";
export { freePorts } from "./free-port.ts";
export { type HeldTopic, HeldTopics } from "./held-topics.ts";
export { fetchKafkaJars, hasKafkaJars, kafkaJarsFolder, kafkaVersion } from "./kafka-jars.ts";
export { ManualClock } from "./manual-clock.ts";
export { minimalRequest, type Names } from "./minimal-request.ts";
export { openTestPglite } from "./open-test-pglite.ts";
export { type PrivateKafka, startPrivateKafka } from "./private-kafka.ts";
export {
  findPostgresBinaries,
  openTestPostgres,
  type PrivatePostgres,
  type SharedPostgres,
  sharePostgres,
  startPrivatePostgres,
} from "./private-postgres.ts";
export { type ServiceSetup, setupServices } from "./setup-services.ts";
export { anyTicket, asGateway, ownerOrGateway } from "./test-callers.ts";
export { waitUntil } from "./wait-until.ts";
