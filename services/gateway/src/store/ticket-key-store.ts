import { createPrivateKey, type JsonWebKey, type KeyObject } from "node:crypto";
import type { Clock } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { exportJWK, generateKeyPair } from "jose";

/** A key tickets are signed with. */
export interface TicketKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicJwk: JsonWebKey;
}

/** The keys of all gateways on this database, oldest first; makes one when there is none. */
export async function ticketKeys(db: Db, clock: Clock, newId: () => string): Promise<TicketKey[]> {
  const fresh = await generateKeyPair("EdDSA", { extractable: true });
  const jwk = JSON.stringify(await exportJWK(fresh.privateKey));
  const rows = await db.transaction(async (tx) => {
    await tx.query("lock table gateway.ticket_key in share row exclusive mode");
    await tx.query(
      `insert into gateway.ticket_key (kid, private_jwk, created_ms)
       select $1, $2::jsonb, $3::bigint where not exists (select 1 from gateway.ticket_key)`,
      [newId(), jwk, clock.nowMs()],
    );
    return tx.query<{ kid: string; private_jwk: JsonWebKey }>(
      "select kid, private_jwk from gateway.ticket_key order by created_ms, kid",
    );
  });
  return rows.map(({ kid, private_jwk }) => {
    const { d: _secret, ...publicJwk } = private_jwk;
    return { kid, publicJwk, privateKey: createPrivateKey({ key: private_jwk, format: "jwk" }) };
  });
}
