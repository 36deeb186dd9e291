// Asks for the secret of a folder, and prints it: several of these at once stand for services that start together.
import { madeGatewaySecret } from "./made-secret.ts";

process.stdout.write(madeGatewaySecret(process.argv[2]).toString());
