// The table of files. Every method rejects with the driver's error.

import type { Pool } from 'pg'
import type { FileDescription } from '../../pipeline/files.ts'
import { readSql } from './sql-file.ts'

/** As node-postgres returns it: bigint columns are strings. */
type FileRow = Pick<FileDescription, 'filename' | 'contentType' | 'sha256' | 'analysis'> & {
  readonly size: string
  readonly receivedAtMicros: string
}

export class FileTable {
  readonly #landing: Pool
  readonly #reading: Pool
  readonly #save = readSql('save-file')
  readonly #read = readSql('read-file')
  readonly #setAnalysis = readSql('set-analysis')

  constructor(landing: Pool, reading: Pool) {
    this.#landing = landing
    this.#reading = reading
  }

  async save(file: FileDescription): Promise<void> {
    const { fileId, filename, contentType, size, sha256, receivedAtMicros, analysis } = file
    await this.#landing.query(this.#save, [
      ...[fileId, filename, contentType, size],
      ...[sha256, receivedAtMicros, analysis],
    ])
  }

  async read(fileId: string): Promise<FileDescription | null> {
    const [row] = (await this.#reading.query<FileRow>(this.#read, [fileId])).rows
    if (row === undefined) return null
    return { fileId, ...row, size: Number(row.size), receivedAtMicros: Number(row.receivedAtMicros) }
  }

  async setAnalysis(fileId: string, analysis: string): Promise<void> {
    await this.#landing.query(this.#setAnalysis, [fileId, analysis])
  }
}
