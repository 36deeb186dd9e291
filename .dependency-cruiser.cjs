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
    ...require("./.ci/room-rules.cjs"),
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
