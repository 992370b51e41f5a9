// The thread of F5: stores each group of batches in one durable transaction, then replies.

import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

const database = new DatabaseSync(workerData.path)
database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL')
database.exec('CREATE TABLE entries (append_number INTEGER PRIMARY KEY, batch BLOB NOT NULL) STRICT')
const insert = database.prepare('INSERT INTO entries (batch) VALUES (?)')

parentPort?.on('message', ({ bytes, lengths }: { bytes: ArrayBuffer; lengths: readonly number[] }) => {
  let at = 0
  database.exec('BEGIN')
  for (const length of lengths) {
    insert.run(new Uint8Array(bytes, at, length))
    at += length
  }
  database.exec('COMMIT')
  parentPort?.postMessage(null)
})
