// Preloaded into a watched run (`node --import`): reports to the watcher which of the author's files the run loads, and
// ends the run when the watcher says so or is gone. The query of its URL names the strategy file and the watcher.
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { fileSignature } from "./file-signature.ts";

/** Longest time for a clean end once the watcher is gone, milliseconds. */
const endMsMax = 20_000;

/**
 * Follows imports from the strategy file: whatever it or one of its modules imports is the author's, except what is in
 * `node_modules` and the platform's own packages.
 */
function followImports(entry: string, tell: (path: string, signature: string) => void): void {
  const authors = new Set<string>();
  const note = (url: string): void => {
    if (!url.startsWith("file:") || url.includes("/node_modules/") || authors.has(url)) return;
    authors.add(url);
    const path = fileURLToPath(url);
    tell(path, fileSignature(path));
  };
  registerHooks({
    resolve(specifier, context, next) {
      const isByAuthor = context.parentURL !== undefined && authors.has(context.parentURL);
      const isLocal = isByAuthor && !specifier.startsWith("@qmtl/");
      if (specifier !== entry && !isLocal) return next(specifier, context);
      try {
        const found = next(specifier, context);
        note(found.url);
        return found;
      } catch (failure) {
        // A missing file may appear later: it is watched, too.
        const isPath = /^(\.{0,2}\/|file:)/.test(specifier);
        if (isPath) note(new URL(specifier, context.parentURL).href);
        throw failure;
      }
    },
  });
}

/** Ends the run as SIGTERM does, even if the run does not listen for it yet. */
function stopCleanly(): void {
  const raise = (): void => void process.emit("SIGTERM", "SIGTERM");
  if (process.listenerCount("SIGTERM") > 0) raise();
  else
    process.on("newListener", (event) => {
      if (event === "SIGTERM") setImmediate(raise);
    });
}

/** Ends this process and those it has started: it leads its process group. */
function endAll(): void {
  if (process.platform !== "win32") process.kill(-process.pid, "SIGKILL");
  process.exit(1);
}

const asked = new URL(import.meta.url).searchParams;
const entry = asked.get("entry");
// Workers and forks of the strategy inherit the preload, but have nothing to report to the watcher.
if (entry !== null && isMainThread && String(process.ppid) === asked.get("watcher")) {
  followImports(entry, (module, signature) => process.send?.({ module, signature }));
  process.on("message", (message) => {
    if (message === "stop") stopCleanly();
  });
  process.on("disconnect", () => {
    setTimeout(endAll, endMsMax).unref();
    if (asked.get("ends") === "at once") endAll();
    stopCleanly();
  });
  process.channel?.unref();
}
