import { escapeHtml } from "./escape-html.ts";

/** A column of a table over rows of `T`; cell texts are escaped. */
export interface HtmlColumn<T> {
  readonly title: string;
  readonly text: (row: T) => string;
  /** Aligned right. @default false */
  readonly isNumber?: boolean;
}

/** A table, or a sentence when there are no rows. */
export function renderTable<T>(rows: readonly T[], columns: readonly HtmlColumn<T>[]): string {
  if (rows.length === 0) {
    return "<p>None.</p>";
  }
  const classOf = (column: HtmlColumn<T>): string => (column.isNumber ? ' class="num"' : "");
  const head = columns
    .map((column) => `<th scope="col"${classOf(column)}>${escapeHtml(column.title)}</th>`)
    .join("");
  const body = rows
    .map((row) => {
      const cells = columns.map(
        (column) => `<td${classOf(column)}>${escapeHtml(column.text(row))}</td>`,
      );
      return `<tr>${cells.join("")}</tr>`;
    })
    .join("\n");
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}
