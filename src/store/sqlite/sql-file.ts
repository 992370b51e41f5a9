// Reads the statements of this driver, one file each, from beside the running code: `src` or what the build copied.
// Only while a store is opened.

import { readdirSync, readFileSync } from 'node:fs'

/** The text of `sql/<name>.sql`. */
export function readSql(name: string): string {
  return readFileSync(new URL(`./sql/${name}.sql`, import.meta.url), 'utf8')
}

/** Names and texts of the files in `migrations/`, sorted by name. */
export function readMigrationFiles(): { readonly file: string; readonly sql: string }[] {
  const folder = new URL('./migrations/', import.meta.url)
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => ({ file, sql: readFileSync(new URL(file, folder), 'utf8') }))
}
