/**
 * Rooms of the gateway, each with the rooms it may look into besides its own: a call goes from the messages through a use
 * case to a store, and nothing looks up. Tests may look anywhere; `ports.ts` has what rooms say to each other.
 */
const gatewayRooms = {
  store: [],
  peers: [],
  control: ["peers", "store"],
  feed: ["peers", "store"],
  submission: ["feed", "peers", "store"],
  worlds: ["submission", "peers", "store"],
  rpc: ["control", "feed", "submission", "worlds", "peers", "store"],
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
const rooms = require("./.ci/rooms.json");

/**
 * The folders of a service, lowest first (`.ci/rooms.json`): rpc → use case → store → pure rules. A room imports itself
 * and the rooms below it, types included, so no two rooms import each other; what both need lives in the lower one. The
 * files beside the rooms wire them and are imported by nobody but tests.
 */
function roomRules(root, names) {
  const service = root.split("/")[1];
  const inside = (room) => `^${root}/${room}/`;
  const tests = "\\.test\\.ts$";
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
    to: { path: [...names.slice(at + 1).map(inside), inside("testing"), `^${root}/[^/]+$`] },
  }));
  return [listed, ...down];
}

/** Who may import whom. Each rule has a fault in .ci/seeded-faults.ts that it must catch. */
module.exports = {
  forbidden: [
    {
      name: "services-do-not-import-each-other",
      severity: "error",
      comment: "Talk over proto, not over imports.",
      from: { path: "^services/(?!embedded/)([^/]+)/" },
      to: { path: "^services/", pathNot: "^services/($1|kit)/" },
    },
    {
      name: "kit-knows-no-service",
      severity: "error",
      from: { path: "^services/kit/" },
      to: { path: "^services/(?!kit/)" },
    },
    {
      name: "sdk-knows-no-service",
      severity: "error",
      from: { path: "^sdk-ts/" },
      to: { path: "^(services|cli|e2e|bench|examples)/" },
    },
    {
      name: "only-the-embedded-root-knows-all-services",
      severity: "error",
      from: { path: "^(cli|examples|e2e)/", pathNot: "^e2e/src/models/" },
      to: { path: "^services/(gateway|dag-manager|world-service)/" },
    },
    {
      name: "numbers-stand-alone",
      severity: "error",
      comment: "Pure maths: no protobuf, no I/O, nothing outside these folders.",
      from: { path: "^sdk-ts/core/src/(nodes|dataflow|cache|canonical|metrics)/", pathNot: "\\.test\\.ts$" },
      to: { path: "^(gen|services|cli|sdk-ts/sdk|sdk-ts/core/src/(?!(nodes|dataflow|cache|canonical|metrics)/))" },
    },
    {
      name: "pure-cores-stand-alone",
      severity: "error",
      comment: "The router core, the fold and the gate machine run in every process and in the models.",
      from: { path: "^sdk-ts/core/src/(execution|queues|gate)/", pathNot: "\\.test\\.ts$" },
      to: { path: "^(gen|services|cli|sdk-ts/sdk|sdk-ts/core/src/(?!(execution|queues|gate|canonical|metrics)/))" },
    },
    {
      name: "services-use-the-sdk-by-its-entries",
      severity: "error",
      comment: "The algorithms are @qmtl/core; of the SDK only what speaks the wire and reads the settings.",
      from: { path: "^services/", pathNot: "^services/embedded/|\\.test\\.ts$|/testing/" },
      to: { path: "^sdk-ts/sdk/src/(?!(rpc|config)/)" },
    },
    {
      name: "examples-use-the-sdk-only",
      severity: "error",
      from: { path: "^examples/" },
      to: { path: "^(gen|services|cli|bench)/" },
    },
    {
      name: "e2e-sees-the-wire",
      severity: "error",
      comment: "e2e uses the SDK, the contracts, the CLI binary; of the kit only its test servers.",
      from: { path: "^e2e/", pathNot: "^e2e/src/models/" },
      to: { path: "^(services/(?!kit/src/testing/)|cli/src/)" },
    },
    ...gatewayRules,
    ...Object.entries(rooms).flatMap(([root, names]) => roomRules(root, names)),
    {
      name: "a-strategy-is-loaded-without-running-it",
      severity: "error",
      comment: "Strategy and source files are what every run begins with: they know of no run.",
      from: { path: "^sdk-ts/sdk/src/runner/(strategy-loading|source-files)/", pathNot: "\\.test\\.ts$" },
      to: { path: "^sdk-ts/sdk/src/runner/(?!(strategy-loading|source-files)/)" },
    },
    {
      name: "offline-and-online-stand-apart",
      severity: "error",
      from: { path: "^sdk-ts/sdk/src/runner/(offline|online)/", pathNot: "\\.test\\.ts$" },
      to: { path: "^sdk-ts/sdk/src/runner/(offline|online)/", pathNot: "^sdk-ts/sdk/src/runner/$1/" },
    },
    {
      name: "runs-know-no-recording-and-no-runner",
      severity: "error",
      comment: "The record of a session and the runner stand above the runs.",
      from: { path: "^sdk-ts/sdk/src/runner/(offline|online|session-record)/", pathNot: "\\.test\\.ts$" },
      to: { path: "^sdk-ts/sdk/src/runner/([^/]+\\.ts$|session-record/)", pathNot: "^sdk-ts/sdk/src/runner/$1/" },
    },
    {
      name: "rooms-of-an-online-run-know-no-whole",
      severity: "error",
      comment: "Only the files directly in online/ tie the rooms together.",
      from: { path: "^sdk-ts/sdk/src/runner/online/[^/]+/", pathNot: "\\.test\\.ts$" },
      to: { path: "^sdk-ts/sdk/src/runner/online/[^/]+\\.ts$" },
    },
    {
      name: "an-online-session-knows-no-queue",
      severity: "error",
      comment: "session ← log ← compute ← orders",
      from: { path: "^sdk-ts/sdk/src/runner/online/session/", pathNot: "\\.test\\.ts$" },
      to: { path: "^sdk-ts/sdk/src/runner/online/(log|compute|orders)/" },
    },
    {
      name: "the-log-knows-no-computation",
      severity: "error",
      from: { path: "^sdk-ts/sdk/src/runner/online/log/", pathNot: "\\.test\\.ts$" },
      to: { path: "^sdk-ts/sdk/src/runner/online/(compute|orders)/" },
    },
    {
      name: "computation-knows-no-orders",
      severity: "error",
      from: { path: "^sdk-ts/sdk/src/runner/online/compute/", pathNot: "\\.test\\.ts$" },
      to: { path: "^sdk-ts/sdk/src/runner/online/orders/" },
    },
    {
      name: "no-circles-of-types-in-the-runner",
      severity: "error",
      comment: "Type-only imports included.",
      from: { path: "^sdk-ts/sdk/src/runner/" },
      to: { circular: true, viaOnly: { path: "^sdk-ts/sdk/src/runner/" } },
    },
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)(dist|fixtures)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["@qmtl/source", "import", "types", "node", "default"] },
  },
};
