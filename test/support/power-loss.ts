// Simulated power losses: records what a running server writes and flushes, and builds from the recording the data
// directory as it could be on the disk after a power loss at a given moment.
//
// The disk is the worst one that honours flushes: flushed data is present; every other write is present, absent, or
// torn at 512 bytes, regardless of order.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { TestContext } from 'node:test'
import { eventually } from './eventually.ts'
import type { SeededRandom } from './random.ts'
import { attachStrace } from './strace.ts'

const sectorBytes = 512

/** The recorded files. The shared-memory file of `store.db` is memory and is lost. */
const recordedFiles = ['log.db', 'log.db-wal', 'log.mark', 'store.db', 'store.db-wal']

type Operation =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly length: number }
  | { readonly kind: 'flush'; readonly failed: boolean }

/** One system call on one file, in the order in which they returned. */
export interface RecordedCall {
  readonly file: string
  readonly operation: Operation
  /** When the call was entered, in milliseconds since 1970. */
  readonly atMs: number
}

/** The contents of the files when the recording began, and every call since. */
export interface Recording {
  readonly base: ReadonlyMap<string, Buffer>
  readonly calls: readonly RecordedCall[]
}

/** A recording in progress. */
export interface Recorder {
  /** Stops and returns the recording. The process may be alive or dead. */
  finish(): Promise<Recording>
}

/**
 * Records the files of a data directory from now on. The server must be idle, so that all its writes are flushed.
 * @param inject further arguments of strace, for example `['-e', 'inject=fsync:error=EIO:when=5']`.
 */
export async function recordWrites(
  t: TestContext,
  pid: number,
  dataDir: string,
  traceFile: string,
  inject: readonly string[] = [],
): Promise<Recorder> {
  const paths = recordedFiles.flatMap((file) => ['-P', join(dataDir, file)])
  const calls = 'trace=write,pwrite64,pwritev,ftruncate,fsync,fdatasync'
  const strace = await attachStrace(t, pid, [
    ...['-y', '-xx', '-ttt', '-s', '4194304', '-e', calls, '-o', traceFile],
    ...inject,
    ...paths,
  ])
  const base = readFiles(dataDir)
  return {
    finish: async () => {
      await strace.detach()
      const text = await eventually(() => readFileSync(traceFile, 'latin1'))
      return { base, calls: parseTrace(text) }
    },
  }
}

/** The recorded files of a data directory as they are now. */
export function readFiles(dataDir: string): Map<string, Buffer> {
  const there = new Set(readdirSync(dataDir))
  return new Map(
    recordedFiles.filter((file) => there.has(file)).map((file) => [file, readFileSync(join(dataDir, file))]),
  )
}

// With -xx paths and data are both printed as \x.. bytes.
const callPattern = /^(\d+) +(\d+\.\d+) (\w+)\((\d+)<((?:\\x[0-9a-f]{2})+)>(.*)$/
const resumedPattern = /^(\d+) +\d+\.\d+ <\.\.\. (\w+) resumed>(.*)$/

/** Parses strace's output: calls of several threads, some of them split in two lines. */
export function parseTrace(text: string): RecordedCall[] {
  const calls: RecordedCall[] = []
  const unfinished = new Map<
    string,
    { readonly name: string; readonly file: string; readonly rest: string; readonly atMs: number }
  >()
  for (const line of text.split('\n')) {
    const resumed = resumedPattern.exec(line)
    if (resumed !== null) {
      const [, thread, , rest] = resumed as unknown as [string, string, string, string]
      const begun = unfinished.get(thread)
      unfinished.delete(thread)
      if (begun !== undefined) add(calls, begun.name, begun.file, begun.rest + rest, begun.atMs)
      continue
    }
    const match = callPattern.exec(line)
    if (match === null) continue
    const [, thread, seconds, name, , path, rest] = match as unknown as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ]
    const file = basename(bytesOfEscapes(path).toString('utf8'))
    const atMs = Number(seconds) * 1000
    const cut = rest.indexOf(' <unfinished ...>')
    if (cut >= 0) unfinished.set(thread, { name, file, rest: rest.slice(0, cut), atMs })
    else add(calls, name, file, rest, atMs)
  }
  return calls
}

function add(calls: RecordedCall[], name: string, file: string, rest: string, atMs: number): void {
  const result = Number(/\) += (-?\d+)/.exec(rest)?.[1])
  if (name === 'fsync' || name === 'fdatasync') {
    calls.push({ file, atMs, operation: { kind: 'flush', failed: result !== 0 } })
  } else if (name === 'ftruncate') {
    if (result === 0)
      calls.push({ file, atMs, operation: { kind: 'truncate', length: Number(/^, (\d+)/.exec(rest)?.[1]) } })
  } else if (name === 'pwrite64') {
    if (!(result > 0)) return
    const [, data, , offset] = /^, "((?:\\x[0-9a-f]{2})*)", (\d+), (\d+)/.exec(rest) ?? []
    if (data === undefined) throw new Error(`strace cut the data of a write to ${file}`)
    const bytes = bytesOfEscapes(data).subarray(0, result)
    calls.push({ file, atMs, operation: { kind: 'write', offset: Number(offset), bytes } })
  } else {
    // A write without an offset would need the file's own position; no code makes such a write to these files.
    throw new Error(`${name} on ${file} is not supported by the trace parser`)
  }
}

function bytesOfEscapes(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex')
}

export interface ImageOptions {
  /** How many of the calls had returned at the power loss. */
  readonly calls: number
  /** The probability that an unflushed write is on the disk; the others are torn or absent. */
  readonly keep: number
  readonly random: SeededRandom
  /** Ignores flushes of this file. For controls: `synchronous=NORMAL` has this effect on a WAL. */
  readonly ignoreFlush?: (file: string) => boolean
}

/** Builds the files as they are on the disk after a power loss. */
export function buildImage(recording: Recording, options: ImageOptions): Map<string, Buffer> {
  const { calls, keep, random, ignoreFlush = () => false } = options
  const durable = new Map([...recording.base].map(([file, bytes]) => [file, GrowingFile.from(bytes)]))
  const pending: RecordedCall[] = []
  const fileOf = (name: string): GrowingFile => {
    const known = durable.get(name)
    if (known !== undefined) return known
    const made = GrowingFile.from(Buffer.alloc(0))
    durable.set(name, made)
    return made
  }
  for (const call of recording.calls.slice(0, calls)) {
    if (call.operation.kind !== 'flush') {
      pending.push(call)
      continue
    }
    if (ignoreFlush(call.file)) continue
    for (let at = 0; at < pending.length; ) {
      const waiting = pending[at] as RecordedCall
      if (waiting.file !== call.file) {
        at++
        continue
      }
      pending.splice(at, 1)
      // After a failed flush the page cache considers the pages clean: no later flush writes them.
      if (!call.operation.failed) fileOf(waiting.file).apply(waiting.operation, 1, random)
    }
  }
  for (const { file, operation } of pending) fileOf(file).apply(operation, keep, random)
  return new Map([...durable].map(([file, grown]) => [file, grown.bytes]))
}

/** Writes an image as a data directory. Files that are not recorded are copied from `like`, if it is given. */
export function writeImage(image: ReadonlyMap<string, Buffer>, directory: string, like?: string): void {
  mkdirSync(directory, { recursive: true })
  for (const [file, bytes] of image) writeFileSync(join(directory, file), bytes)
  if (like === undefined) return
  for (const file of ['holder.json']) {
    if (readdirSync(like).includes(file)) copyFileSync(join(like, file), join(directory, file))
  }
}

class GrowingFile {
  #buffer: Buffer
  #length: number

  private constructor(buffer: Buffer) {
    this.#buffer = buffer
    this.#length = buffer.length
  }

  static from(bytes: Buffer): GrowingFile {
    return new GrowingFile(Buffer.from(bytes))
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Applies a write or a truncation with probability `keep`; below 1 a write may be torn at sectors. */
  apply(operation: Operation, keep: number, random: SeededRandom): void {
    if (operation.kind === 'truncate') {
      if (keep < 1 && random.next() >= keep) return
      this.#reserve(operation.length)
      if (operation.length < this.#length) this.#buffer.fill(0, operation.length, this.#length)
      this.#length = operation.length
    } else if (operation.kind === 'write') {
      const { offset, bytes } = operation
      // Present, absent, or torn: then each sector is decided separately.
      const whole = keep >= 1 ? 0 : random.next()
      if (whole < keep / 2) this.#write(offset, bytes)
      else if (whole < (1 + keep) / 2) this.#writeTorn(offset, bytes, keep, random)
    }
  }

  #writeTorn(offset: number, bytes: Buffer, keep: number, random: SeededRandom): void {
    for (let at = 0; at < bytes.length; ) {
      // Sectors are aligned to the disk, not to the write.
      const end = Math.min(bytes.length, at + sectorBytes - ((offset + at) % sectorBytes))
      if (random.next() < keep) this.#write(offset + at, bytes.subarray(at, end))
      at = end
    }
  }

  #write(offset: number, bytes: Buffer): void {
    this.#reserve(offset + bytes.length)
    this.#length = Math.max(this.#length, offset + bytes.length)
    bytes.copy(this.#buffer, offset)
  }

  #reserve(length: number): void {
    if (length <= this.#buffer.length) return
    const larger = Buffer.alloc(Math.max(length, this.#buffer.length * 2))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}
