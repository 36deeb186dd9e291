/**
 * The one module through which the models reach WorldService's pure core. That core is not part of the package's public
 * surface, but the models prove these very modules, so they import them directly.
 */
export * from "../../../services/world-service/src/apply/index.ts";
