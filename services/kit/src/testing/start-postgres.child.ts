// Starts a private PostgreSQL, prints its pid, and runs until it is killed.
import { writeSync } from "node:fs";
import { startPrivatePostgres } from "./private-postgres.ts";

const server = await startPrivatePostgres();
writeSync(1, `${server.pid}\n`);
process.stdin.resume();
