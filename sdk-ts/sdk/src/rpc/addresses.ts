/** The addresses of a service: one, or several separated by commas, of which one leads. */
export function addressesOf(urls: string): string[] {
  return urls
    .split(",")
    .map((url) => url.trim())
    .filter((url) => url !== "");
}
