export {
  type ColumnStore,
  makeNumberColumn,
  makePresenceColumn,
  makeRefColumn,
  SlidingColumn,
} from "./sliding-column.ts";
export { ColumnWindow, type Window } from "./window.ts";
