// Reads the SQL files of a driver, one operation each, from the folder of the running code (`src` or the build output).
// It reads only while a store is opened.

import { readdirSync, readFileSync } from 'node:fs'

export class SqlFiles {
  readonly #folder: string

  /** @param importerUrl the URL of a file in the driver's folder. */
  constructor(importerUrl: string) {
    this.#folder = importerUrl
  }

  /** The text of `sql/<name>.sql`. */
  read(name: string): string {
    return readFileSync(new URL(`./sql/${name}.sql`, this.#folder), 'utf8')
  }

  /** Names and texts of the files in `migrations/`, sorted by name. */
  readMigrations(): { readonly file: string; readonly sql: string }[] {
    const folder = new URL('./migrations/', this.#folder)
    return readdirSync(folder)
      .filter((file) => file.endsWith('.sql'))
      .sort()
      .map((file) => ({ file, sql: readFileSync(new URL(file, folder), 'utf8') }))
  }
}
