// Starts a private PostgreSQL, says its pid, and is killed.
import { writeSync } from "node:fs";
import { startPrivatePostgres } from "./private-postgres.ts";

const server = await startPrivatePostgres();
writeSync(1, `${server.pid}\n`);
process.stdin.resume();
