// The SQL files of this driver.

import { SqlFiles } from '../sql-files.ts'

const files = new SqlFiles(import.meta.url)

/** The text of `sql/<name>.sql`. */
export const readSql = (name: string): string => files.read(name)

/** Names and texts of the files in `migrations/`, sorted by name. */
export const readMigrationFiles = () => files.readMigrations()
