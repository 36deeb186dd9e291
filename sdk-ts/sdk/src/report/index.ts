export { renderHtmlReport } from "./html-report.ts";
export type * from "./report-data.ts";
