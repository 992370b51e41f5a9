// The thread that owns store.db. It runs one call after the other, all of them inside the flush latch.

import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { MillraceError } from '../../errors.ts'
import { Checkpointer } from '../../lib/sqlite/checkpointer.ts'
import { serve, Transferred } from '../../lib/sqlite/database-thread.ts'
import { SqliteFailure } from '../../lib/sqlite/failure.ts'
import { FlushLatch, isFinal } from '../../lib/sqlite/flush-latch.ts'
import { truncateWal } from '../../lib/sqlite/open-database.ts'
import type { DeadLetterFilter } from '../../pipeline/dead-letters.ts'
import type { FileDescription } from '../../pipeline/files.ts'
import type { StoreObservation } from '../../pipeline/observations.ts'
import type { ApiKeyInsertion, ApiKeyQuery, ApiKeyUse, StoredApiKey } from '../api-keys.ts'
import type { AgentQuery, LandedCounts, RefusedRow, StoredAgent, StoredAgents } from '../event-store.ts'
import { AgentTable } from './agent-table.ts'
import { ApiKeyTable } from './api-key-table.ts'
import {
  type CauseRow,
  type DeadLetterPageRequest,
  type DeadLetterRow,
  DeadLetterTable,
  type WholeDeadLetterRow,
} from './dead-letter-table.ts'
import { type FileAnalysis, FileTable } from './file-table.ts'
import { EventFinder, type LandedRow, type PlacedRow, type RowName } from './find-events.ts'
import { EventLander } from './land-events.ts'
import type { LandingMessage } from './landing-message.ts'
import { EventLister, type PageAnswer, type PageRequest } from './list-events.ts'
import { openStoreDatabase } from './open-store-database.ts'
import { StoreObserver } from './store-observer.ts'

export interface StoreThreadData {
  readonly path: string
  readonly diskReserveBytes: number
  readonly mayCreate: boolean
}

export interface LandAnswer {
  readonly counts: LandedCounts
  /** The buffer of the message, returned for reuse. */
  readonly buffer: ArrayBuffer
}

export interface RedrivenChange {
  readonly deadLetterIds: readonly string[]
  readonly atMicros: number
}

export interface ApiKeyToInsert {
  readonly key: StoredApiKey
  readonly isFirstAdmin: boolean
}

export interface Revocation {
  readonly keyId: string
  readonly atMicros: number
}

/** The methods that the main thread can call. A type, not an interface: DatabaseThread requires an index signature. */
export type StoreThreadMethods = {
  /** Must be called first. Returns why a file of another version is refused, or null. */
  open: (argument: null) => string | null
  land: (message: LandingMessage) => LandAnswer
  list: (request: PageRequest) => PageAnswer
  findEvents: (eventIds: readonly string[]) => PlacedRow[]
  findRows: (eventIds: readonly string[]) => RowName[]
  landedStreams: (argument: null) => LandedRow[]
  landDeadLetters: (rows: readonly WholeDeadLetterRow[]) => RefusedRow[]
  listDeadLetters: (request: DeadLetterPageRequest) => DeadLetterRow[]
  readDeadLetters: (deadLetterIds: readonly Uint8Array[]) => WholeDeadLetterRow[]
  countDeadLetters: (filter: DeadLetterFilter) => number
  groupDeadLetters: (filter: DeadLetterFilter) => CauseRow[]
  noteRedriven: (change: RedrivenChange) => void
  deleteDeadLetters: (deadLetterIds: readonly string[]) => number
  upsertAgents: (agents: readonly StoredAgent[]) => RefusedRow[]
  listAgents: (query: AgentQuery) => StoredAgents
  saveFile: (file: FileDescription) => void
  readFile: (fileId: string) => FileDescription | null
  setAnalysis: (analysis: FileAnalysis) => void
  insertApiKey: (insertion: ApiKeyToInsert) => ApiKeyInsertion
  listApiKeys: (query: ApiKeyQuery) => StoredApiKey[]
  revokeApiKey: (revocation: Revocation) => boolean
  noteApiKeysUsed: (uses: readonly ApiKeyUse[]) => void
  observe: (argument: null) => StoreObservation
  /** Throws if the database cannot be read. */
  probe: (argument: null) => void
  close: (argument: null) => void
}

/** Bytes of a row beyond its event: the other columns, its entry in the key's index, page overhead. */
const rowOverheadBytes = 100

/** To move a buffer costs as much as to copy some thousand bytes. */
const minTransferredBytes = 16 * 1024

interface Opened {
  readonly database: DatabaseSync
  readonly lander: EventLander
  readonly lister: EventLister
  readonly finder: EventFinder
  readonly deadLetters: DeadLetterTable
  readonly agents: AgentTable
  readonly files: FileTable
  readonly apiKeys: ApiKeyTable
  readonly observer: StoreObserver
  readonly checkpointer: Checkpointer
}

class StoreThread {
  readonly #path: string
  readonly #mayCreate: boolean
  /** Landing leaves half of the reserve to the log: the log needs space to settle, and settling frees space. */
  readonly #leaveFreeBytes: number
  readonly #latch = new FlushLatch()
  #opened: Opened | null = null

  constructor({ path, diskReserveBytes, mayCreate }: StoreThreadData) {
    this.#path = path
    this.#mayCreate = mayCreate
    this.#leaveFreeBytes = diskReserveBytes / 2
  }

  open(): string | null {
    try {
      const database = this.#latch.run(() => openStoreDatabase(this.#path, this.#mayCreate, Date.now))
      this.#opened = {
        database,
        lander: new EventLander(database),
        lister: new EventLister(database),
        finder: new EventFinder(database),
        deadLetters: new DeadLetterTable(database),
        agents: new AgentTable(database),
        files: new FileTable(database),
        apiKeys: new ApiKeyTable(database),
        observer: new StoreObserver(database, this.#path),
        checkpointer: new Checkpointer(database, this.#path, () => this.#spareBytes()),
      }
      return null
    } catch (thrown) {
      const cause = thrown instanceof SqliteFailure ? thrown.cause : thrown
      if (cause instanceof MillraceError && cause.code === 'failed_precondition') return cause.message
      throw thrown
    }
  }

  land(message: LandingMessage): Transferred<LandAnswer> {
    const { lander } = this.#get()
    const counts = this.#write(message.byteLength + message.rows * rowOverheadBytes, () => lander.land(message))
    return new Transferred({ counts, buffer: message.buffer }, [message.buffer])
  }

  landDeadLetters(rows: readonly WholeDeadLetterRow[]): RefusedRow[] {
    const { deadLetters } = this.#get()
    const bytes = rows.reduce((sum, { event, history }) => sum + event.length + history.length + rowOverheadBytes, 0)
    return this.#write(bytes, () => deadLetters.land(rows))
  }

  noteRedriven({ deadLetterIds, atMicros }: RedrivenChange): void {
    const { deadLetters } = this.#get()
    this.#write(deadLetterIds.length * rowOverheadBytes, () => deadLetters.noteRedriven(deadLetterIds, atMicros))
  }

  saveFile(file: FileDescription): void {
    this.#write(rowOverheadBytes + file.filename.length, () => this.#get().files.save(file))
  }

  setAnalysis(analysis: FileAnalysis): void {
    this.#write(rowOverheadBytes + analysis.analysis.length, () => this.#get().files.setAnalysis(analysis))
  }

  insertApiKey({ key, isFirstAdmin }: ApiKeyToInsert): ApiKeyInsertion {
    const bytes = rowOverheadBytes + JSON.stringify([key.topics, key.types]).length
    return this.#write(bytes, () => this.#get().apiKeys.insert(key, isFirstAdmin))
  }

  /** Does not check the free space: a full disk must not keep a key valid. */
  revokeApiKey({ keyId, atMicros }: Revocation): boolean {
    const isFound = this.#latch.run(() => this.#get().apiKeys.revoke(keyId, atMicros))
    this.#checkpoint(rowOverheadBytes)
    return isFound
  }

  noteApiKeysUsed(uses: readonly ApiKeyUse[]): void {
    this.#write(uses.length * rowOverheadBytes, () => this.#get().apiKeys.noteUsed(uses))
  }

  /** Does not check the free space, because deleting frees some. */
  deleteDeadLetters(deadLetterIds: readonly string[]): number {
    const { deadLetters } = this.#get()
    const deleted = this.#latch.run(() => deadLetters.delete(deadLetterIds))
    this.#checkpoint(deadLetterIds.length * rowOverheadBytes)
    return deleted
  }

  upsertAgents(given: readonly StoredAgent[]): RefusedRow[] {
    const { agents } = this.#get()
    const bytes = given.reduce((sum, { metadata }) => sum + metadata.length + rowOverheadBytes, 0)
    return this.#write(bytes, () => agents.upsert(given))
  }

  list(request: PageRequest): Transferred<PageAnswer> {
    const answer = this.read(({ lister }) => lister.list(request))
    const large = answer.rows.flatMap(({ data }) => (data === null || data.length < minTransferredBytes ? [] : [data]))
    return new Transferred(
      answer,
      large.map(({ buffer }) => buffer as ArrayBuffer),
    )
  }

  /** Runs a read-only operation. */
  read<T>(work: (opened: Opened) => T): T {
    return this.#latch.run(() => work(this.#get()))
  }

  probe(): void {
    this.#latch.run(() => this.#get().database.prepare('SELECT 1 FROM migrations').get())
  }

  close(): void {
    if (this.#opened === null) return
    const { database } = this.#opened
    this.#opened = null
    try {
      // Does not wait for another program's long read: the WAL is flushed, and the next start checkpoints the rest.
      database.exec('PRAGMA busy_timeout = 0')
      this.#latch.run(() => truncateWal(database))
    } finally {
      database.close()
    }
  }

  #get(): Opened {
    if (this.#opened === null) throw new SqliteFailure('other', `${this.#path} is not open`)
    return this.#opened
  }

  /** Runs an operation that writes about `bytes`, if the disk has room for them. */
  #write<T>(bytes: number, work: () => T): T {
    const answer = this.#latch.run(() => {
      this.#checkRoom(bytes)
      return work()
    })
    this.#checkpoint(bytes)
    return answer
  }

  /** The rows are already committed. A checkpoint that fails for lack of space is retried after a later commit. */
  #checkpoint(writtenBytes: number): void {
    try {
      this.#latch.run(() => this.#get().checkpointer.afterCommit(writtenBytes))
    } catch (thrown) {
      if (isFinal(thrown as SqliteFailure)) throw thrown
    }
  }

  /** Space that landing may use, in bytes. */
  #spareBytes(): number {
    const { bavail, bsize } = statfsSync(dirname(this.#path))
    return bavail * bsize - this.#leaveFreeBytes
  }

  #checkRoom(bytes: number): void {
    if (this.#leaveFreeBytes === 0) return
    const spareBytes = this.#spareBytes()
    if (bytes <= spareBytes) return
    throw new SqliteFailure(
      'full',
      `the disk of ${this.#path} has ${spareBytes + this.#leaveFreeBytes} bytes free; landing must leave ` +
        `${this.#leaveFreeBytes} (half of MILLRACE_DISK_RESERVE_BYTES): free some space`,
    )
  }
}

/** The methods as the thread implements them: any result may be Transferred. */
type Served<M> = {
  [K in keyof M]: M[K] extends (argument: infer A) => infer R ? (argument: A) => R | Transferred<R> : never
}

serve((data: StoreThreadData): Served<StoreThreadMethods> => {
  const store = new StoreThread(data)
  return {
    open: () => store.open(),
    land: (message) => store.land(message),
    list: (request) => store.list(request),
    findEvents: (eventIds) => store.read(({ finder }) => finder.findEvents(eventIds)),
    findRows: (eventIds) => store.read(({ finder }) => finder.findRows(eventIds)),
    landedStreams: () => store.read(({ finder }) => finder.landedStreams()),
    landDeadLetters: (rows) => store.landDeadLetters(rows),
    listDeadLetters: (request) => store.read(({ deadLetters }) => deadLetters.list(request)),
    readDeadLetters: (deadLetterIds) => store.read(({ deadLetters }) => deadLetters.read(deadLetterIds)),
    countDeadLetters: (filter) => store.read(({ deadLetters }) => deadLetters.count(filter)),
    groupDeadLetters: (filter) => store.read(({ deadLetters }) => deadLetters.group(filter)),
    noteRedriven: (change) => store.noteRedriven(change),
    deleteDeadLetters: (deadLetterIds) => store.deleteDeadLetters(deadLetterIds),
    upsertAgents: (agents) => store.upsertAgents(agents),
    listAgents: (query) => store.read(({ agents }) => agents.list(query)),
    saveFile: (file) => store.saveFile(file),
    readFile: (fileId) => store.read(({ files }) => files.read(fileId)),
    setAnalysis: (analysis) => store.setAnalysis(analysis),
    insertApiKey: (insertion) => store.insertApiKey(insertion),
    listApiKeys: (query) => store.read(({ apiKeys }) => apiKeys.list(query)),
    revokeApiKey: (revocation) => store.revokeApiKey(revocation),
    noteApiKeysUsed: (uses) => store.noteApiKeysUsed(uses),
    observe: () => store.read(({ observer }) => observer.observe()),
    probe: () => store.probe(),
    close: () => store.close(),
  }
})
