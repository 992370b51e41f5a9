import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { cleanup } from '../../test/support/cleanup.ts'
import { eventually } from '../../test/support/eventually.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { createLogger } from '../telemetry/logger.ts'
import { type DirectoryOptions, openDirectoryFileStore } from './directory-file-store.ts'

const mark = 'millrace-files.json'
const undeclared = { size: null, sha256: null }
const saved = async () => {}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const withCode = (code: string, field?: string) => (error: { code: string; field?: string }) =>
  error.code === code && (field === undefined || error.field === field)

async function open(t: TestContext, options: Partial<DirectoryOptions> = {}) {
  const { directory = join(tempDirectory(t), 'files') } = options
  const logger = createLogger({ level: 'fatal' })
  const files = await openDirectoryFileStore({
    ...{ directory, logger, now: Date.now, isKnown: async () => true },
    ...options,
  })
  cleanup(t, () => files.close())
  const names = () => readdirSync(directory).filter((name) => name !== mark)
  return { files, directory, names }
}

async function contentOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

test('a file has its id as its name when it is complete, and nothing is left of the upload', async (t) => {
  const { files, names } = await open(t)
  const id = randomUUID()
  const chunks = Array.from({ length: 100 }, (_, index) => Buffer.alloc(index * 1000, index))
  const bytes = Buffer.concat(chunks)

  await files.create(id)
  let offset = 0
  for (const chunk of chunks) {
    await files.append(id, offset, chunk)
    offset += chunk.length
  }
  assert.equal(files.state(id)?.received, bytes.length)
  assert.equal(await files.read(id), null)
  assert.deepEqual(
    names().map((name) => name.endsWith('.partial')),
    [true],
  )
  const content = await files.complete(id, { size: bytes.length, sha256: sha256(bytes) }, async (about) => {
    assert.deepEqual(about, { size: bytes.length, sha256: sha256(bytes) })
    assert.equal(files.state(id)?.synced, bytes.length)
  })

  assert.deepEqual(content, { size: bytes.length, sha256: sha256(bytes) })
  assert.deepEqual(names(), [id])
  assert.equal(files.state(id), null)
  const stored = await files.read(id)
  assert.equal(stored?.size, bytes.length)
  assert.ok((await contentOf(stored!.chunks)).equals(bytes))
  assert.equal(files.storedBytes, bytes.length)
})

test('a large upload is flushed on its way', async (t) => {
  const { files } = await open(t)
  const id = randomUUID()
  const chunk = Buffer.alloc(1024 * 1024)
  await files.create(id)
  for (let index = 0; index < 40; index++) await files.append(id, index * chunk.length, chunk)

  await eventually(() => assert.ok(files.state(id)!.synced >= chunk.length))
})

test('an upload that differs from what was declared, or cannot be saved, leaves nothing', async (t) => {
  const { files, names } = await open(t)
  const [id, bytes] = [randomUUID(), Buffer.from('a file')]
  const upload = async () => {
    await files.create(id)
    await files.append(id, 0, bytes)
  }

  await upload()
  await assert.rejects(files.complete(id, { size: 7, sha256: null }, saved), withCode('invalid_event', 'size'))
  await upload()
  const other = sha256(Buffer.from('another'))
  await assert.rejects(files.complete(id, { size: null, sha256: other }, saved), withCode('invalid_event', 'sha256'))
  await upload()
  await assert.rejects(files.complete(id, undeclared, () => Promise.reject(new Error('no database'))))
  await upload()
  await files.cancel(id)
  assert.deepEqual(names(), [])

  await upload()
  await files.complete(id, undeclared, saved)
  assert.deepEqual(names(), [id])
})

test('uploads of one file do not mix, and none replaces a file', async (t) => {
  let isKnown = true
  const { files, directory, names } = await open(t, { isKnown: async () => isKnown })
  const id = randomUUID()
  await files.create(id)
  await assert.rejects(files.create(id), withCode('unavailable', 'file_id'))
  await assert.rejects(files.append(id, 1, Buffer.alloc(1)), withCode('failed_precondition', 'offset'))
  await files.complete(id, undeclared, saved)

  const { files: other } = await open(t, { directory, isKnown: async () => isKnown })
  await other.create(id)
  await other.append(id, 0, Buffer.from('other'))
  await assert.rejects(other.complete(id, undeclared, saved), withCode('already_exists', 'file_id'))
  // A process may be about to store what is known of it, for a moment only.
  isKnown = false
  await other.create(id)
  await assert.rejects(other.complete(id, undeclared, saved), withCode('unavailable'))
  const { files: later } = await open(t, { directory, isKnown: async () => isKnown, now: () => Date.now() + 61_000 })
  await later.create(id)
  await later.append(id, 0, Buffer.from('later'))
  await later.complete(id, undeclared, saved)
  assert.equal(readFileSync(join(directory, id), 'utf8'), 'later')
  assert.deepEqual(names(), [id])
})

test('what processes that have ended have left is removed after an hour', async (t) => {
  const { files: first, directory, names } = await open(t)
  await first.close()
  const partialOf = (id: string) => join(directory, `${id}.${randomUUID()}.partial`)
  const [cutOff, named, known, young] = Array.from({ length: 4 }, () => randomUUID())
  for (const id of [cutOff, named, known, young]) writeFileSync(partialOf(id!), 'a part')
  for (const id of [named, known]) {
    const partial = join(directory, names().find((name) => name.startsWith(id!))!)
    linkSync(partial, join(directory, id!))
  }
  const hourAgo = Date.now() / 1000 - 3601
  for (const name of names()) if (!name.startsWith(young!)) utimesSync(join(directory, name), hourAgo, hourAgo)

  const { files } = await open(t, { directory, isKnown: async (id) => id === known })
  await files.freeBytes()
  assert.equal(files.storedBytes, 'a part'.length)
  const left = names()
  assert.equal(left.length, 2)
  assert.ok(left.includes(known!))
  assert.ok(left.some((name) => name.startsWith(`${young}.`)))
})

test('files count towards the limit of all while the database does not say what may be removed', async (t) => {
  const { files: first, directory, names } = await open(t)
  const id = randomUUID()
  await first.create(id)
  await first.append(id, 0, Buffer.from('a file'))
  await first.complete(id, undeclared, saved)
  const partial = join(directory, `${id}.${randomUUID()}.partial`)
  linkSync(join(directory, id), partial)
  const hourAgo = Date.now() / 1000 - 3601
  utimesSync(partial, hourAgo, hourAgo)

  const { files } = await open(t, { directory, isKnown: () => Promise.reject(new Error('no database')) })
  await files.freeBytes()

  assert.equal(files.storedBytes, 'a file'.length)
  assert.equal(names().length, 2)
})

test('a file that is completed while the files are counted is counted too', async (t) => {
  const { files: first, directory } = await open(t)
  await first.close()
  const [old, id] = [randomUUID(), randomUUID()]
  const partial = join(directory, `${old}.${randomUUID()}.partial`)
  writeFileSync(partial, 'a part')
  linkSync(partial, join(directory, old))
  const hourAgo = Date.now() / 1000 - 3601
  utimesSync(partial, hourAgo, hourAgo)
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<boolean>()
  const isKnown = () => {
    asked.resolve()
    return answer.promise
  }

  const { files } = await open(t, { directory, isKnown })
  await asked.promise
  await files.create(id)
  await files.append(id, 0, Buffer.from('a file'))
  await files.complete(id, undeclared, saved)
  answer.resolve(true)
  await files.freeBytes()
  assert.equal(files.storedBytes, 'a part'.length + 'a file'.length)
})

test('a directory with other files is refused, and one that has lost its mark takes no upload', async (t) => {
  const foreign = tempDirectory(t)
  writeFileSync(join(foreign, 'photo.jpg'), '')
  await assert.rejects(open(t, { directory: foreign }), withCode('failed_precondition', 'MILLRACE_FILES_DIR'))
  const newer = tempDirectory(t)
  writeFileSync(join(newer, mark), '{"format":2}\n')
  await assert.rejects(open(t, { directory: newer }), withCode('failed_precondition', 'MILLRACE_FILES_DIR'))
  const volume = tempDirectory(t)
  mkdirSync(join(volume, 'lost+found'))
  const { files } = await open(t, { directory: volume })
  await open(t, { directory: volume })

  rmSync(join(volume, mark))
  await assert.rejects(files.create(randomUUID()), withCode('unavailable'))
})
