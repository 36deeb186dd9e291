export { type PrivatePostgres, startPrivatePostgres } from "@qmtl/service-kit/testing";
