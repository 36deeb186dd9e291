// vitest globalSetup: one PostgreSQL cluster for the whole run, where PostgreSQL can be had.
export { sharePostgres as setup } from "../../../services/kit/src/testing/private-postgres.ts";
