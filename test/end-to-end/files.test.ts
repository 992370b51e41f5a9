// Files in whole servers: uploads in every form, downloads, analyses, and what is refused.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { downloadCall } from '../../src/client/file-calls.ts'
import { UploadRequestSchema, type UploadResponse, UploadResponseSchema } from '../../src/gen/millrace/v1/file_pb.ts'
import type { MillraceError } from '../../src/index.ts'
import { backends } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { type HttpAnswer, request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { runCommand } from '../support/run-command.ts'
import { tempDirectory } from '../support/temp-directory.ts'

type Part = MessageInitShape<typeof UploadRequestSchema>['part']
type Headers = Readonly<Record<string, string>>

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex')
const digestOf = (hex: string) => `sha-256=:${Buffer.from(hex, 'hex').toString('base64')}:`
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'

const post = (server: InProcessServer, body: string | Uint8Array<ArrayBuffer>, headers: Headers = {}) =>
  request(server.http, '/v1/files', { method: 'POST', body, headers })

const problemOf = ({ status, text }: HttpAnswer) => {
  const { code, detail, field } = JSON.parse(text) as { code: string; detail: string; field?: string }
  return { status, code, detail, field }
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (thrown) => (thrown as MillraceError).code,
  )

/** The names in the directory of files, without its mark. */
const namesIn = (server: InProcessServer) =>
  readdirSync(join(server.dataDir, 'files')).filter((name) => name !== 'millrace-files.json')

const nothingLeft = (server: InProcessServer) => eventually(() => assert.deepEqual(namesIn(server), []))

/** An upload of exactly these messages. Rejects with the status of the call. */
function upload(t: TestContext, server: InProcessServer, parts: readonly Part[], ends = true): Promise<UploadResponse> {
  const client = new grpc.Client(server.grpc, grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_send_message_length': -1,
  })
  cleanup(t, () => client.close())
  const { promise, resolve, reject } = Promise.withResolvers<UploadResponse>()
  const call = client.makeClientStreamRequest<Buffer, UploadResponse>(
    '/millrace.v1.FileService/Upload',
    (bytes) => bytes,
    (bytes) => fromBinary(UploadResponseSchema, bytes),
    new grpc.Metadata(),
    { deadline: Date.now() + 15_000 },
    (error, response) => (error === null ? resolve(response!) : reject(error)),
  )
  for (const part of parts)
    call.write(Buffer.from(toBinary(UploadRequestSchema, create(UploadRequestSchema, { part: part! }))))
  if (ends) call.end()
  return promise
}

const header = (fields: Extract<Part, { case: 'header' }>['value'] = {}): Part => ({ case: 'header', value: fields })
const chunk = (bytes: Uint8Array): Part => ({ case: 'chunk', value: bytes })

/** A form of these parts: `name; filename="..."` and content. */
function form(parts: readonly (readonly [string, string])[], hasEnd = true): { body: string; headers: Headers } {
  const boundary = 'the-boundary'
  const text = parts.map(
    ([name, content]) => `--${boundary}\r\ncontent-disposition: form-data; name=${name}\r\n\r\n${content}\r\n`,
  )
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` }
  return { body: `${text.join('')}${hasEnd ? `--${boundary}--\r\n` : ''}`, headers }
}

for (const backend of backends('embedded', 'redis', 'cluster')) {
  test(`a file comes back as it was sent, with its analysis (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const env = { ...home.env, MILLRACE_FILES_DIR: join(tempDirectory(t), 'files') }
    const isShared = backend.name !== 'embedded'
    // Where the log is shared, one process takes the file and another one analyzes it.
    if (isShared) await startInProcess(t, { env: { ...env, MILLRACE_ROLES: 'worker' } })
    const roles = isShared ? 'ingest' : 'ingest,worker'
    const server = await startInProcess(t, { ...home, env: { ...env, MILLRACE_ROLES: roles } })
    const client = clientOf(t, server)
    const bytes = Buffer.concat([Buffer.from('to be or not\u3000to be\n'), randomBytes(200_000)])
    const path = join(tempDirectory(t), 'a "b" \u{1f600}.bin')
    writeFileSync(path, bytes)

    const stored = await client.upload(path, { contentType: 'text/plain; charset=utf-8' })

    const analysis = JSON.parse(stored.analysis ?? 'null')
    assert.deepEqual(
      { ...analysis, words: 0, lines: 0 },
      { words: 0, lines: 0, bytes: bytes.length, sha256: sha256(bytes) },
    )
    assert.ok(analysis.words > 6 && analysis.lines > 1)
    assert.deepEqual([stored.size, stored.sha256], [bytes.length, sha256(bytes)])
    const file = await client.files.file(stored.fileId)
    assert.deepEqual(JSON.parse(file.analysis!), analysis)
    assert.deepEqual(
      [file.filename, file.contentType, file.size, file.sha256],
      ['a "b" \u{1f600}.bin', 'text/plain; charset=utf-8', bytes.length, sha256(bytes)],
    )
    const parts: Uint8Array[] = []
    for await (const part of client.files.download(stored.fileId)) parts.push(part)
    assert.ok(Buffer.concat(parts).equals(bytes))
    const content = await fetch(`http://${server.http}/v1/files/${stored.fileId}/content`)
    assert.equal(sha256(Buffer.from(await content.arrayBuffer())), sha256(bytes))
    const { headers } = content
    assert.equal(
      headers.get('content-disposition'),
      `attachment; filename="a _b_ __.bin"; filename*=UTF-8''a%20%22b%22%20%F0%9F%98%80.bin`,
    )
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.equal(headers.get('repr-digest'), digestOf(sha256(bytes)))
    assert.equal(headers.get('content-length'), String(bytes.length))
    assert.equal(await codeOf(client.files.file(randomUUID())), 'not_found')
    assert.equal(await codeOf(client.files.download(randomUUID())[Symbol.asyncIterator]().next() as never), 'not_found')
    assert.equal((await request(server.http, `/v1/files/${randomUUID()}/content`)).status, 404)
  })
}

test('HTTP takes a raw body with its headers, and a form with one file', async (t) => {
  const server = await startInProcess(t)
  const fileId = randomUUID()
  const text = 'one two\nthree'
  const raw = await post(server, text, {
    'content-type': 'text/csv',
    'content-disposition': `attachment; filename="old.csv"; filename*=UTF-8''n%C3%A9w.csv`,
    'repr-digest': digestOf(sha256(text)),
    'millrace-file-id': fileId.toUpperCase(),
    traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
  })
  assert.equal(raw.status, 201)
  assert.equal(raw.headers.get('location'), `/v1/files/${fileId}`)
  const analysis = { words: 3, lines: 2, bytes: text.length, sha256: sha256(text) }
  assert.deepEqual(JSON.parse(raw.text), { file_id: fileId, size: text.length, sha256: sha256(text), analysis })
  const described = JSON.parse((await request(server.http, `/v1/files/${fileId}`)).text)
  assert.deepEqual([described.filename, described.content_type, described.analysis], ['néw.csv', 'text/csv', analysis])
  const line = server.logLines().find((each) => each.message === 'file stored')
  assert.deepEqual([line?.file_id, line?.trace_id, line?.size], [fileId, traceId, text.length])
  const asked = server.logLines().find((each) => each.message === 'request replied')
  assert.deepEqual([asked?.request_id, asked?.trace_id], [fileId, traceId])

  const { body, headers } = form([['file; filename="dir.txt"', text]])
  const inForm = JSON.parse((await post(server, body, headers)).text)
  assert.deepEqual(inForm.analysis, analysis)
  const empty = JSON.parse((await post(server, '')).text)
  assert.deepEqual(empty.analysis, { words: 0, lines: 0, bytes: 0, sha256: sha256('') })
  const nothing = await request(server.http, `/v1/files/${empty.file_id}/content`)
  assert.deepEqual([nothing.status, nothing.text], [200, ''])
  assert.equal((await post(server, text, { 'millrace-file-id': fileId })).status, 409)
})

test('what is wrong with an upload over gRPC is said, and nothing is left', async (t) => {
  const server = await startInProcess(t)
  const wrong = async (parts: readonly Part[]) => {
    const error = await upload(t, server, parts).then(
      () => assert.fail('it was stored'),
      (thrown: grpc.ServiceError) => thrown,
    )
    return `${grpc.status[error.code]}: ${error.details}`
  }
  const bytes = Buffer.from('content')
  const large = Buffer.alloc(256 * 1024 + 1)
  const kibibytes = Array.from({ length: 64 }, () => chunk(large.subarray(0, 65_536)))
  assert.match(
    await wrong([header({ sha256: sha256('other') }), chunk(bytes)]),
    /^INVALID_ARGUMENT: sha256 of the file/,
  )
  assert.match(await wrong([header({ size: 100n }), chunk(bytes)]), /^INVALID_ARGUMENT: size of the file is 7/)
  assert.match(
    await wrong([header({ size: 1024n }), ...kibibytes]),
    /^INVALID_ARGUMENT: the file has more than the 1024/,
  )
  assert.match(await wrong([]), /^INVALID_ARGUMENT: header is missing/)
  assert.match(await wrong([chunk(bytes)]), /^INVALID_ARGUMENT: header is missing/)
  assert.match(await wrong([header(), chunk(bytes), header()]), /^INVALID_ARGUMENT: header is given again/)
  assert.match(await wrong([header(), { case: undefined }]), /^INVALID_ARGUMENT: part is missing/)
  assert.match(await wrong([header(), chunk(large)]), /^INVALID_ARGUMENT: chunk has more than 262144 bytes/)
  assert.match(await wrong([header(), chunk(Buffer.alloc(5_000_000))]), /^INVALID_ARGUMENT: chunk has more than 262144/)
  for (const filename of ['../../etc/x', '/etc/passwd', 'a\0b', '..', 'a\\b', 'a\nb', 'x'.repeat(1025)])
    assert.match(await wrong([header({ filename }), chunk(bytes)]), /^INVALID_ARGUMENT: filename /, filename)
  assert.match(await wrong([header({ contentType: 'a/b\r\nx: y' })]), /^INVALID_ARGUMENT: content_type/)
  assert.match(await wrong([header({ sha256: 'abc' })]), /^INVALID_ARGUMENT: sha256 must be 64/)
  assert.match(await wrong([header({ fileId: '../x' })]), /^INVALID_ARGUMENT: file_id must be a UUID/)
  assert.match(await wrong([header({ size: 2n ** 62n })]), /^INVALID_ARGUMENT: size must be/)
  assert.match(await wrong([header({ size: 2n ** 35n })]), /^INVALID_ARGUMENT: the file has more than 17179869184/)

  await nothingLeft(server)
  const refused = server.logLines().filter(({ message }) => message === 'upload refused')
  assert.ok(refused.length > 10 && refused.every(({ file_id: id, code }) => id !== undefined && code !== undefined))
  assert.equal((await upload(t, server, [header(), chunk(bytes)])).sha256, sha256(bytes))
})

test('what is wrong with an upload over HTTP is said, and nothing is left', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_UPLOAD_IDLE_MS: '300' } })
  const wrong = async (body: string, headers: Headers) => problemOf(await post(server, body, headers))
  const file = ['file; filename="a.txt"', 'content'] as const
  const wrongForm = async (parts: Parameters<typeof form>[0], hasEnd = true) => {
    const { body, headers } = form(parts, hasEnd)
    const { status, field, detail } = await wrong(body, headers)
    assert.deepEqual([status, field], [400, 'body'], detail)
    return detail
  }
  assert.match(await wrongForm([file, file]), /has "file" besides the file/)
  assert.match(await wrongForm([file, ['note', 'unread']]), /has "note" besides the file/)
  assert.match(await wrongForm([['note', 'unread'], file]), /has the field "note"/)
  assert.match(await wrongForm([file], false), /not valid/)
  assert.match(await wrongForm([]), /no file|not valid/)
  assert.match(await wrongForm(Array.from({ length: 10_000 }, (_, index) => [`a${index}`, 'x'])), /field "a0"/)
  await wrongForm([file, ...Array.from({ length: 10_000 }, (_, index) => [`a${index}`, 'x'] as const)])
  await wrongForm([['__proto__; filename="a"', 'x']])
  assert.match(await wrongForm([['""', '']]), /field ""|not valid/)
  for (const name of ['../../etc/x', '/etc/x', '..'])
    assert.equal((await wrong(...asArguments(form([[`file; filename="${name}"`, 'x']])))).field, 'filename', name)
  const digest = await wrong('content', { 'repr-digest': digestOf(sha256('other')) })
  assert.deepEqual([digest.status, digest.field], [400, 'sha256'])
  assert.equal((await wrong('content', { 'repr-digest': 'sha-256=abc' })).field, 'repr-digest')
  assert.equal((await wrong('x', { 'content-disposition': 'attachment; filename="../../etc/x"' })).field, 'filename')
  for (const control of ['%00', '%C2%9B'])
    assert.equal(
      (await wrong('x', { 'content-disposition': `attachment; filename*=UTF-8''a${control}b` })).field,
      'filename',
    )
  assert.equal((await wrong('x', { 'millrace-file-id': 'x' })).field, 'file_id')
  assert.equal((await wrong('x', { 'content-encoding': 'gzip' })).field, 'content-encoding')
  const encodedDigest = { 'content-encoding': 'gzip', 'repr-digest': digestOf(sha256('x')) }
  assert.equal((await wrong('x', encodedDigest)).field, 'repr-digest')
  const plainForm = form([['file; filename="a"', 'x']])
  const encodedForm = await wrong(plainForm.body, { ...plainForm.headers, 'content-encoding': 'gzip' })
  assert.equal(encodedForm.code, 'unsupported_media_type')
  assert.match(await rawUpload(server, 'content-length: 1000000000', 'a little'), /^HTTP\/1.1 408 /)
  const formHead = 'content-type: multipart/form-data; boundary=b\r\ncontent-length: 99'
  const begun = '--b\r\ncontent-disposition: form-data; name=f; filename=a\r\n\r\nabc'
  assert.match(await rawUpload(server, formHead, begun), /^HTTP\/1.1 408 /)

  assert.match(await rawUpload(server, 'transfer-encoding: chunked', '3\r\nabc\r\nzz\r\n'), /^HTTP\/1.1 400 /)

  await nothingLeft(server)
  assert.equal((await post(server, 'content')).status, 201)
})

const asArguments = ({ body, headers }: ReturnType<typeof form>) => [body, headers] as const

/** Sends a head and a part of a body, then waits for the answer. */
async function rawUpload(server: InProcessServer, head: string, body: string): Promise<string> {
  const [host, port] = server.http.split(':')
  const socket = connectSocket(Number(port), host)
  socket.write(`POST /v1/files HTTP/1.1\r\nhost: localhost\r\n${head}\r\n\r\n${body}`)
  const [answer] = await once(socket.setEncoding('utf8'), 'data')
  socket.destroy()
  return answer
}

test('limits refuse an upload before, or as soon as, it passes them', async (t) => {
  const env = {
    MILLRACE_FILE_MAX_BYTES: '100000',
    MILLRACE_FILES_MAX_BYTES: '150000',
    MILLRACE_UPLOADS_MAX: '2',
    MILLRACE_UPLOAD_IDLE_MS: '500',
  }
  const server = await startInProcess(t, { env })
  const client = clientOf(t, server)
  const bytes = Buffer.alloc(100_000, 'a ')
  const declaring = (size: number) => upload(t, server, [header({ size: BigInt(size) })], false).catch((error) => error)

  assert.equal(await codeOf(client.upload(bytesOf(Buffer.alloc(100_001)))), 'event_too_large')
  assert.equal(await codeOf(client.upload(bytesOf(bytes), { size: 100_001 })), 'event_too_large')
  // What is declared is reserved, until it has not come for too long.
  const idle = declaring(100_000)
  await eventually(() => assert.equal(namesIn(server).length, 1))
  assert.equal(await codeOf(client.upload(bytesOf(bytes), { size: 100_000 })), 'disk_full')
  const other = declaring(10)
  await eventually(() => assert.equal(namesIn(server).length, 2))
  assert.equal(await codeOf(client.upload(bytesOf(Buffer.alloc(0)))), 'backlogged')
  assert.match((await idle).details, /nothing of the file has come for 500 ms/)
  await other
  await client.upload(bytesOf(bytes))
  assert.equal(await codeOf(client.upload(bytesOf(bytes))), 'disk_full')
  assert.equal(namesIn(server).length, 1)
})

async function* bytesOf(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

test('a file that is sent compressed is stored as it was', async (t) => {
  const server = await startInProcess(t)
  const bytes = Buffer.from('line of a report\n'.repeat(3000) + randomBytes(100_000).toString('hex'))

  const answer = await post(server, new Uint8Array(gzipSync(bytes)), { 'content-encoding': 'gzip' })

  const stored = JSON.parse(answer.text)
  assert.deepEqual([answer.status, stored.size, stored.sha256], [201, bytes.length, sha256(bytes)])
})

test('a download over gRPC of a range that has no bytes is refused by its field', async (t) => {
  const server = await startInProcess(t)
  const { fileId } = await clientOf(t, server).upload(bytesOf(randomBytes(100)))
  const client = new grpc.Client(server.grpc, grpc.credentials.createInsecure())
  cleanup(t, () => client.close())
  const read = (start: number, end: number) =>
    Array.fromAsync(downloadCall(client, fileId, { start, end }, { signal: undefined }))
  assert.equal(Buffer.concat(await read(5, 9)).length, 5)
  for (const [start, end] of [
    [5, 4],
    [0, 2 ** 60],
  ] as const)
    await assert.rejects(read(start, end), { code: 'out_of_range', field: 'end' })
})

test('a download of one range has its bytes only', async (t) => {
  const server = await startInProcess(t)
  const bytes = randomBytes(200_000)
  const { fileId } = await clientOf(t, server).upload(bytesOf(bytes))
  const read = async (range: string, more: Record<string, string> = {}) => {
    const answer = await fetch(`http://${server.http}/v1/files/${fileId}/content`, { headers: { range, ...more } })
    return { answer, body: Buffer.from(await answer.arrayBuffer()) }
  }
  for (const [range, first, last] of [
    ['bytes=0-0', 0, 0],
    ['bytes=70000-140000', 70_000, 140_000],
    ['bytes=199999-', 199_999, 199_999],
    ['Bytes=199000-999999', 199_000, 199_999],
    ['bytes=-5', 199_995, 199_999],
    ['bytes=-999999', 0, 199_999],
  ] as const) {
    const { answer, body } = await read(range)
    assert.deepEqual([answer.status, body.equals(bytes.subarray(first, last + 1))], [206, true], range)
    assert.equal(answer.headers.get('content-range'), `bytes ${first}-${last}/200000`)
    assert.equal(answer.headers.get('content-length'), String(body.length))
  }
  for (const range of ['bytes=200000-', 'bytes=-0', 'bytes=999999-1000000']) {
    const { answer, body } = await read(range)
    assert.deepEqual([answer.status, answer.headers.get('content-range')], [416, 'bytes */200000'], range)
    assert.equal(JSON.parse(body.toString()).field, 'range')
  }
  // What is no single range, or holds for another version only, is as good as none.
  for (const range of ['bytes=0-1,3-4', 'bytes=5-4', 'bytes=-', 'lines=1-2', 'bytes=a-b']) {
    const { answer, body } = await read(range)
    assert.deepEqual([answer.status, answer.headers.get('accept-ranges'), body.length], [200, 'bytes', 200_000], range)
  }
  assert.equal((await read('bytes=0-0', { 'if-range': '"some"' })).answer.status, 200)
})

test('a file that another program has cut or removed is not given as if it were whole', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  const { fileId } = await client.upload(bytesOf(Buffer.from('content')))
  const path = join(server.dataDir, 'files', fileId)
  const read = async () => problemOf(await request(server.http, `/v1/files/${fileId}/content`))

  for (const content of ['', 'cont', 'content and more']) {
    writeFileSync(path, content)
    assert.deepEqual([(await read()).status, (await read()).code], [500, 'corrupt'], content)
    assert.equal((await request(server.http, `/v1/files/${fileId}/content`, { method: 'HEAD' })).status, 500)
  }
  unlinkSync(path)
  assert.match((await read()).detail, /are missing here/)
  assert.equal(await codeOf(client.files.download(fileId)[Symbol.asyncIterator]().next() as never), 'corrupt')

  assert.equal((await client.upload(bytesOf(Buffer.from('again')), { fileId })).fileId, fileId)
  assert.equal((await request(server.http, `/v1/files/${fileId}/content`)).text, 'again')
})

test('many uploads at once are counted as wc counts them', async (t) => {
  const server = await startInProcess(t)
  const directory = tempDirectory(t)
  const bytes = samples(300_000, 10_000_000)
  const paths = Array.from({ length: samples(16, 64) }, (_, index) => {
    const path = join(directory, `${index}.txt`)
    writeFileSync(path, randomBytes(bytes).toString('base64').replace(/[A-F]/g, ' ').replace(/[0-1]/g, '\n'))
    return path
  })
  const client = clientOf(t, server)

  const counts = await Promise.all(
    paths.map(async (path) => JSON.parse((await client.upload(path)).analysis ?? 'null').words as number),
  )

  const counted = execFileSync('wc', ['-w', ...paths], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } })
  const expected = counted
    .trim()
    .split('\n')
    .slice(0, -1)
    .map((line) => Number.parseInt(line, 10))
  assert.deepEqual(counts, expected)
})

test('a file without a worker has no analysis, and a worker elsewhere reads it through the server', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_ROLES: 'ingest' } })
  const client = clientOf(t, server)
  const bytes = randomBytes(300_000)

  const { fileId, analysis } = await client.upload(bytesOf(bytes))
  assert.equal(analysis, null)

  for (const filesDir of [undefined, join(server.dataDir, 'files')]) {
    const worker = client.work({
      request: 'file.analyze',
      handle: async (event, { file }) => {
        const hash = createHash('sha256')
        const { file_id: id } = event.json() as { file_id: string }
        for await (const part of file(id)) hash.update(part)
        return { sha256: hash.digest('hex') }
      },
      ...(filesDir === undefined ? {} : { filesDir }),
    })
    await eventually(async () => {
      const again = await client.upload(bytesOf(bytes))
      assert.deepEqual(JSON.parse(again.analysis ?? 'null'), { sha256: sha256(bytes) })
    })
    await worker.close()
  }
  assert.equal((await client.files.file(fileId)).analysis, null)
})

test('a stopping server takes no upload, and ends one that does not end by itself', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_DRAIN_MS: '2000' } })
  const running = upload(t, server, [header(), chunk(Buffer.alloc(1000))], false).catch((error) => error)
  await eventually(() => assert.equal(namesIn(server).length, 1))
  const finishing = Promise.withResolvers<void>()
  async function* untilTold(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('first')
    await finishing.promise
    yield Buffer.from(' second')
  }
  const finished = clientOf(t, server).upload(untilTold())
  await eventually(() => assert.equal(namesIn(server).length, 2))

  const stopped = server.stop()
  finishing.resolve()

  assert.equal((await finished).size, 'first second'.length)
  assert.match((await running).details, /the server is stopping/)
  await stopped
  assert.equal(namesIn(server).length, 1)
})

test('millrace upload prints what is stored, and fails without leaving anything', async (t) => {
  const server = await startInProcess(t)
  const path = join(tempDirectory(t), 'a.txt')
  writeFileSync(path, 'to be or not to be')
  const options = { dataDir: server.dataDir }

  const shown = await runCommand(['upload', path], options)
  assert.equal(shown.code, 0)
  assert.match(shown.stdout, /FILE ID .*ANALYSIS\n[0-9a-f-]{36} +18 +[0-9a-f]{64} +\{"words":6,"lines":1,"bytes":18/)
  const json = await runCommand(['upload', path, '--output', 'json', '--name', 'b.txt'], options)
  const { file_id: fileId, analysis } = JSON.parse(json.stdout)
  assert.equal(analysis.words, 6)
  assert.equal((await clientOf(t, server).files.file(fileId)).filename, 'b.txt')
  const missing = await runCommand(['upload', `${path}.missing`], options)
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /a\.txt\.missing cannot be read: ENOENT/)
  const again = await runCommand(['upload', path, '--id', fileId], options)
  assert.equal(again.code, 1)
  assert.match(again.stderr, /there is a file with this id/)
  assert.equal(namesIn(server).length, 2)
  const pipe = join(tempDirectory(t), 'pipe')
  execFileSync('mkfifo', [pipe])
  const piped = runCommand(['upload', pipe], options)
  await writeFile(pipe, 'to be or not to be')
  assert.deepEqual((await piped).code, 0, (await piped).stderr)
  await server.stop()
  assert.equal((await runCommand(['clean', '--yes'], options)).code, 0)
  assert.equal(existsSync(join(server.dataDir, 'files')), false)
})
