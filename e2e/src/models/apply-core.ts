/**
 * The one router through which the models reach WorldService's pure core. It is not part of the
 * package's public surface: the models are the proof of these very modules, so they import them.
 */
export * from "../../../services/world-service/src/apply/index.ts";
