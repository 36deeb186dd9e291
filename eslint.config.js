// Three typed rules Biome does not have, and where SQL may stand; everything else is Biome's.
import tseslint from "typescript-eslint";

const typed = {
  files: ["**/*.ts"],
  ignores: ["**/dist/**", "gen/**", "**/fixtures/**"],
  extends: [tseslint.configs.base],
  linterOptions: { reportUnusedDisableDirectives: "error" },
  languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
  rules: {
    "@typescript-eslint/no-floating-promises": "error",
    "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: false }],
    "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
  },
};

/** SQL of the services stands in their stores, the database's log and what an operator runs after a restore. */
const sqlInStores = {
  files: ["services/{gateway,dag-manager,world-service}/src/**/*.ts"],
  ignores: [
    "**/{store,log,restore,testing}/**",
    "services/gateway/src/instances/*-{store,db}.ts",
    "services/gateway/src/orders/broker/paper-*.ts",
    "**/*.{test,child}.ts",
  ],
  rules: {
    "no-restricted-syntax": [
      "error",
      {
        selector: "CallExpression[callee.property.name='query'][arguments.length>0]",
        message: "SQL stands in a store: move the statement to the service's store folder.",
      },
    ],
  },
};

export default tseslint.config(typed, sqlInStores);
