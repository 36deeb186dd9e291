// A fault for each rule of room-rules.cjs.
import { readdirSync, readFileSync, rmSync } from "node:fs";

const rooms = JSON.parse(readFileSync(".ci/rooms.json", "utf8")) as Record<string, string[]>;

/** In each room of each service a file that imports types from the room above; in each service a room not listed. */
const orderedFaults = Object.entries(rooms).flatMap(([root, names]) => {
  const service = root.split("/")[1];
  const tool = "depcruise" as const;
  const up = names.map((room, at) => {
    const above = names[at + 1];
    const first = above && readdirSync(`${root}/${above}`).find((name) => name.endsWith(".ts"));
    return {
      rule: `${service}-${room}-imports-down`,
      tool,
      file: `${root}/${room}/seeded-fault-up.ts`,
      text: `export type * from "../${above === undefined ? "index.ts" : `${above}/${first}`}";\n`,
    };
  });
  const unlisted = {
    rule: `${service}-rooms-are-listed`,
    tool,
    file: `${seededRoomOf(root)}/seeded-fault.ts`,
    text: 'export type * from "../index.ts";\n',
  };
  return [...up, unlisted];
});

/** In each room of the gateway a file that imports from a room it may not import. */
const gatewayFaults = (
  [
    ["store", "../submission/submission-message.ts"],
    ["peers", "../control/gate-book.ts"],
    ["control", "../feed/slice-booker.ts"],
    ["feed", "../control/topic-book.ts"],
    ["submission", "../worlds/promotion.ts"],
    ["worlds", "../rpc/world-handlers.ts"],
    ["rpc", "../orders/order-path.ts"],
    ["orders/store", "../account/booking.ts"],
    ["orders/broker", "../account/booking.ts"],
    ["orders/account", "../gate/router-gate.ts"],
    ["orders/gate", "../intake/bucket-acks.ts"],
    ["orders/intake", "../order-path.ts"],
    ["orders/rpc", "../../rpc/world-handlers.ts"],
  ] as const
).map(([room, up]) => ({
  rule: `gateway-${room.replace("/", "-")}-looks-down`,
  tool: "depcruise" as const,
  file: `services/gateway/src/${room}/seeded-fault-up.ts`,
  text: `export type * from "${up}";\n`,
}));

export const roomFaults = [...orderedFaults, ...gatewayFaults];

/** Removes the planted rooms that are not listed, with what is in them. */
export function removeSeededRooms(): void {
  for (const root of Object.keys(rooms))
    rmSync(seededRoomOf(root), { recursive: true, force: true });
}

function seededRoomOf(root: string): string {
  return `${root}/seeded-room`;
}
