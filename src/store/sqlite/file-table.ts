// The table of files.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { uuidToBytes } from '../../event/event.ts'
import type { FileDescription } from '../../pipeline/files.ts'
import { readSql } from './sql-file.ts'

export interface FileAnalysis {
  readonly fileId: string
  readonly analysis: string
}

export class FileTable {
  readonly #save: StatementSync
  readonly #read: StatementSync
  readonly #setAnalysis: StatementSync

  constructor(database: DatabaseSync) {
    this.#save = database.prepare(readSql('save-file'))
    this.#read = database.prepare(readSql('read-file'))
    this.#setAnalysis = database.prepare(readSql('set-analysis'))
  }

  save(file: FileDescription): void {
    const { fileId, filename, contentType, size, sha256, receivedAtMicros, analysis } = file
    this.#save.run(uuidToBytes(fileId), filename, contentType, size, sha256, receivedAtMicros, analysis)
  }

  read(fileId: string): FileDescription | null {
    const row = this.#read.get(uuidToBytes(fileId)) as Omit<FileDescription, 'fileId'> | undefined
    return row === undefined ? null : { fileId, ...row }
  }

  setAnalysis({ fileId, analysis }: FileAnalysis): void {
    this.#setAnalysis.run(uuidToBytes(fileId), analysis)
  }
}
