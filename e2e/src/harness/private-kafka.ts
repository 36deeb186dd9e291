export { type PrivateKafka, startPrivateKafka } from "@qmtl/service-kit/testing";
