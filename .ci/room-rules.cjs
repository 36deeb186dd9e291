const rooms = require("./rooms.json");

/**
 * The folders of a service, lowest first (`.ci/rooms.json`): rpc → use case → store → pure rules. A room imports itself
 * and the rooms below it, types included, so no two rooms import each other; what both need lives in the lower one. The
 * files beside the rooms of a service wire them and are imported by nobody but tests; those of the kit are for all.
 */
function roomRules(root, names) {
  const service = root.split("/")[1];
  const inside = (room) => `^${root}/${room}/`;
  const tests = "\\.(test|contract|child)\\.ts$";
  const listed = {
    name: `${service}-rooms-are-listed`,
    severity: "error",
    comment: "A new folder takes its place in .ci/rooms.json.",
    from: { path: `^${root}/(?!(${names.join("|")}|testing)/)[^/]+/` },
    to: {},
  };
  const down = names.map((room, at) => ({
    name: `${service}-${room}-imports-down`,
    severity: "error",
    from: { path: inside(room), pathNot: tests },
    to: {
      path: [
        ...names.slice(at + 1).map(inside),
        inside("testing"),
        root.startsWith("services/kit/") ? `^${root}/index\\.ts$` : `^${root}/[^/]+$`,
      ],
    },
  }));
  return [listed, ...down];
}

/**
 * Rooms of the gateway, each with the rooms it may import besides its own: a call goes from the messages through a use
 * case to a store, and no room imports one above it. Tests may import anything; the interfaces between rooms are in
 * `ports.ts`.
 */
const gatewayRooms = {
  store: [],
  peers: [],
  control: ["peers", "store"],
  feed: ["peers", "store"],
  runners: ["feed", "peers", "store"],
  submission: ["feed", "peers", "store"],
  worlds: ["submission", "peers", "store"],
  rpc: ["control", "feed", "runners", "submission", "worlds", "peers", "store"],
  "orders/store": ["store"],
  "orders/broker": ["store"],
  "orders/account": ["orders/broker", "orders/store", "store"],
  "orders/gate": ["orders/account", "orders/store"],
  "orders/intake": ["orders/account", "orders/broker", "orders/gate", "orders/store", "store"],
  "orders/rpc": ["orders/account", "orders/gate", "orders/intake", "orders/store", "orders/order-path.ts", "orders/strategy-state.ts"],
};
const gateway = "^services/gateway/src/";
const inTests = "\\.test\\.ts$|/testing/";

const gatewayRules = [
  ...Object.entries(gatewayRooms).map(([room, below]) => {
    const seen = [room, ...below, "ports.ts", "waiting-time.ts"].map((one) => (one.endsWith(".ts") ? one : `${one}/`));
    return {
      name: `gateway-${room.replace("/", "-")}-looks-down`,
      severity: "error",
      from: { path: `${gateway}${room}/`, pathNot: inTests },
      to: { path: gateway, pathNot: `${gateway}(${seen.join("|")})` },
    };
  }),
  {
    name: "only-the-module-knows-the-messages-of-orders",
    severity: "error",
    comment: "All conversions from and to protobuf are in orders/rpc; orders/module.ts hands them in.",
    from: { path: gateway, pathNot: [inTests, `${gateway}orders/(rpc/|module\\.ts$)`] },
    to: { path: `${gateway}orders/rpc/` },
  },
  {
    name: "nothing-inside-knows-the-order-module",
    severity: "error",
    comment: "It wires the order path: what it is made of cannot ask it.",
    from: { path: `${gateway}.*/`, pathNot: inTests },
    to: { path: `${gateway}orders/module\\.ts$` },
  },
];

module.exports = [...gatewayRules, ...Object.entries(rooms).flatMap(([root, names]) => roomRules(root, names))];
