// The thread that owns log.db: opens it, and runs the proxy's calls on the engine.

import { MillraceError } from '../../../errors.ts'
import { type Methods, serve, Transferred } from '../../../lib/sqlite/database-thread.ts'
import type { Trimmed } from '../../event-log.ts'
import { checkBooks } from '../file/check-books.ts'
import { namedDamage, openLogDatabase } from '../file/log-database.ts'
import { logBytes, logFiles } from '../file/log-files.ts'
import {
  type Answer,
  isRefusal,
  type LogThreadData,
  type LogThreadMethods,
  type TailCall,
  type TailEntries,
  type TrimCall,
} from '../protocol.ts'
import { AppendOperation } from './append.ts'
import { DeclareOperation } from './declare.ts'
import { Describer } from './describe.ts'
import { Engine } from './engine.ts'
import { findTopic } from './find.ts'
import { GiveBackOperation } from './give-back.ts'
import { DropOperation, FlowOperation, JoinOperation, RemoveDroppedOperation } from './group-operations.ts'
import { HeldKeys } from './held-keys.ts'
import { LogWriter } from './log-writer.ts'
import { toRefusal } from './operation.ts'
import { concatenated } from './pack-entries.ts'
import { readSettled } from './read-settled.ts'
import { ReleaseOperation } from './release.ts'
import { ReopenOperation } from './reopen.ts'
import { findRequest } from './requests.ts'
import { Session } from './session.ts'
import { SettleOperation } from './settle.ts'
import { cursorAt, readTail } from './tail.ts'
import { Trimmer, TrimOperation } from './trim.ts'
import { UnitOfWork } from './unit-of-work.ts'

type Calls = Omit<LogThreadMethods, 'open'>

class LogThread {
  readonly #data: LogThreadData
  readonly #writer: LogWriter
  readonly #session = new Session()
  readonly #engine: Engine
  readonly #describer: Describer
  readonly #heldKeys: HeldKeys
  readonly #trimmer: Trimmer

  constructor(writer: LogWriter, data: LogThreadData) {
    this.#data = data
    this.#writer = writer
    this.#engine = new Engine(writer, this.#session)
    this.#describer = new Describer(writer.database, writer.tables, this.#session)
    this.#heldKeys = new HeldKeys(writer.database)
    this.#trimmer = new Trimmer(writer)
    for (const { groupNumber, state } of writer.tables.books.groups.load()) {
      if (state === 'dropped') void this.#removeDropped(groupNumber)
    }
  }

  calls(): { [method in keyof Calls]: (call: Parameters<Calls[method]>[0]) => unknown } {
    const engine = this.#engine
    const session = this.#session
    return {
      declare: ({ topic, declaration }) => engine.run(new DeclareOperation(session, topic, declaration)),
      append: (call) => engine.run(new AppendOperation(call, session, this.#data.maxRecentBytes)),
      reopen: (call) => engine.run(new ReopenOperation(call, session)),
      setFlow: ({ flow, ...name }) => engine.run(new FlowOperation(session, name, flow)),
      drop: (name) => engine.run(new DropOperation(session, name, (group) => void this.#removeDropped(group))),
      join: (name) => engine.run(new JoinOperation(session, name)),
      next: (call) => engine.next(call),
      abort: (aborted) => {
        engine.abort(({ call }) => call === aborted)
        session.tails.end(aborted)
        return null
      },
      settle: (call) => engine.run(new SettleOperation(call, session)),
      giveBack: ({ consumer, leases }) => engine.run(new GiveBackOperation(session, consumer, leases)),
      leave: (left) => {
        engine.abort(({ consumer }) => consumer === left)
        return engine.run(new GiveBackOperation(session, left, null))
      },
      bytes: (numbers) => this.#bytes(numbers),
      readSettled: ({ stream, group, ...options }) =>
        this.#read((work) => {
          const page = readSettled(work, stream, group, options)
          return new Transferred(page, [page.bytes.buffer])
        }),
      cursorAt: (call) => this.#read((work) => cursorAt(work, call)),
      tail: (call) => this.#tail(call),
      release: (call) => engine.run(new ReleaseOperation(call, session)),
      heldKeys: ({ stream, group }) => this.#read((work) => this.#heldKeys.of(work, stream, group)),
      describe: (call) => engine.read(this.#describer.describe(logBytes(logFiles(this.#data.dataDir)), call)),
      hasConsumers: (name) => session.hasConsumers(name),
      topics: () => this.#read(({ books }) => books.topics.load().map(({ name }) => name)),
      findTopic: (topic) => this.#read((work) => findTopic(work, topic) && null),
      findRequest: (call) => this.#read((work) => findRequest(work, call)),
      trim: (call) => this.#trim(call),
      hasRoom: (newBytes) => !engine.isWaitingForRoom && this.#writer.hasRoom(newBytes),
      close: () => this.#close(),
    }
  }

  #bytes(numbers: readonly number[]): Promise<unknown> {
    return this.#read(({ entries }) => {
      const parts: Uint8Array[] = []
      const found: number[] = []
      for (let at = 0; at < numbers.length; at += 2) {
        const { bytes, damaged, fields } = entries.readNumbered(numbers[at]!)
        parts.push(bytes)
        found.push(bytes.length, damaged || fields[3] !== numbers[at + 1] ? 1 : 0)
      }
      const bytes = concatenated(parts)
      return new Transferred({ bytes, entries: Float64Array.from(found) }, [bytes.buffer])
    })
  }

  /** Reads in one piece. */
  #read<T>(read: (work: UnitOfWork) => T): Promise<Answer<T>> {
    const { tables } = this.#writer
    return this.#engine.read(
      // biome-ignore lint/correctness/useYield: a reading of a single piece
      (function* (): Generator<void, Answer<T>> {
        try {
          return read(new UnitOfWork(tables))
        } catch (thrown) {
          if (thrown instanceof MillraceError) return toRefusal(thrown)
          throw thrown
        }
      })(),
    )
  }

  async #tail(call: TailCall): Promise<Answer<Transferred<TailEntries>>> {
    const { tails } = this.#session
    const waiter = tails.add(call)
    try {
      for (;;) {
        const { appends } = waiter
        const page = await this.#read((work) => readTail(work, call, tails.nextTurn()))
        if (isRefusal(page)) return page
        const isEmpty = page.streams.length === 0 && page.gap === null
        if (!isEmpty || !(await waiter.wait(appends))) return new Transferred(page, [page.bytes.buffer])
      }
    } finally {
      tails.remove(call)
    }
  }

  async #trim(call: TrimCall): Promise<Answer<Trimmed>> {
    const total = { entries: 0, events: 0, bytes: 0 }
    for (let from = 0, hasMore = true; hasMore && !this.#engine.isClosing; ) {
      const step = await this.#engine.runInBackground(new TrimOperation(this.#trimmer, call, from))
      if (isRefusal(step)) return step
      total.entries += step.entries
      total.events += step.events
      total.bytes += step.bytes
      from = step.done
      hasMore = step.hasMore
    }
    return total
  }

  /** When it fails, the log has failed; when it is closed meanwhile, the next opening goes on. */
  async #removeDropped(groupNumber: number): Promise<void> {
    try {
      for (let hasMore: unknown = true; hasMore === true && !this.#engine.isClosing; ) {
        hasMore = await this.#engine.runInBackground(new RemoveDroppedOperation(groupNumber))
      }
    } catch {}
  }

  async #close(): Promise<null> {
    const closed = this.#engine.close()
    this.#session.tails.endAll()
    await closed
    this.#writer.close()
    return null
  }
}

serve((data: LogThreadData) => {
  const open = () => {
    const files = logFiles(data.dataDir)
    const opened = openLogDatabase(files)
    if ('otherFormat' in opened) return opened
    try {
      checkBooks(opened.books, files.database)
      const writer = new LogWriter(opened, data.dataDir, data.diskReserveBytes)
      Object.assign(methods, new LogThread(writer, data).calls())
    } catch (thrown) {
      opened.database.close()
      throw namedDamage(thrown, files.database)
    }
    const { epoch, lastAppendNumber } = opened.log
    return { epoch, lastAppendNumber }
  }
  /** The others are added when the log is open. */
  const methods: Methods = { open }
  return methods
})
