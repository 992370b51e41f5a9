/** UUIDs as a JSON array of hex digits, which SQLite's `unhex` turns into their bytes. */
export function hexArray(uuids: readonly string[]): string {
  return JSON.stringify(uuids.map((uuid) => uuid.replaceAll('-', '')))
}
