/** UUIDs as a JSON array of hex strings, which SQLite's `unhex` converts to bytes. */
export function hexArray(uuids: readonly string[]): string {
  return JSON.stringify(uuids.map((uuid) => uuid.replaceAll('-', '')))
}
