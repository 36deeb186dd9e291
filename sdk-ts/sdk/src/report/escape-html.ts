const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text made safe for element content and quoted attributes; control characters HTML does not allow are dropped. */
export function escapeHtml(text: string): string {
  return text
    .replace(/\p{Cc}/gu, (control) => (/[\n\t]/.test(control) ? control : ""))
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
