// The console: the page at `/` and its files, built from web/ into dist/console.
//
// They are few and small, so they are read once, at the first request, and kept with their gzipped form.

import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../../errors.ts'

/** From src/api/http as from dist/api/http, which is where this file is in an installed package. */
const builtConsole = new URL('../../../dist/console/', import.meta.url)

/** Nothing but files of this server runs in the page, and no other page shows it in a frame. */
const contentSecurityPolicy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** The name of each asset has the hash of its content. */
const forever = 'public, max-age=31536000, immutable'

interface ConsoleFile {
  readonly contentType: string
  readonly cacheControl: string
  readonly bytes: Buffer
  readonly gzipped: Buffer
}

export interface ConsoleParts {
  /** What `/` answers when the console has not been built. */
  readonly substitute: () => string
  /** Default: where it is built. */
  readonly directory?: URL
}

export function addConsoleRoutes(app: FastifyInstance, { substitute, directory = builtConsole }: ConsoleParts): void {
  let reading: Promise<ReadonlyMap<string, ConsoleFile>> | null = null
  const fileOf = async (name: string) => {
    reading ??= readFiles(directory)
    const files = await reading
    // So that a console that is built later is found.
    if (files.size === 0) reading = null
    return files.get(name)
  }
  app.get('/', async (request, reply) => {
    reply.header('content-security-policy', contentSecurityPolicy)
    const page = await fileOf('index.html')
    if (page !== undefined) return sendFile(request, reply, page)
    return reply.header('cache-control', 'no-cache').type('text/html; charset=utf-8').send(substitute())
  })
  app.get<{ Params: { file: string } }>('/assets/:file', async (request, reply) => {
    const asset = await fileOf(`assets/${request.params.file}`)
    if (asset === undefined) throw new MillraceError('not_found', 'the console has no such file; load its page again')
    return sendFile(request, reply, asset)
  })
}

async function readFiles(directory: URL): Promise<ReadonlyMap<string, ConsoleFile>> {
  const names = readNames(directory).filter((name) => extname(name) in contentTypes)
  const files = await Promise.all(names.map(async (name) => [name, await readOne(directory, name)] as const))
  return new Map(files)
}

function readNames(directory: URL): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/'))
  } catch {
    return []
  }
}

async function readOne(directory: URL, name: string): Promise<ConsoleFile> {
  const bytes = readFileSync(new URL(name, directory))
  return {
    contentType: contentTypes[extname(name)] as string,
    cacheControl: name === 'index.html' ? 'no-cache' : forever,
    bytes,
    gzipped: await promisify(gzip)(bytes),
  }
}

function sendFile(request: FastifyRequest, reply: FastifyReply, file: ConsoleFile): FastifyReply {
  const takesGzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
  reply.headers({ 'content-type': file.contentType, 'cache-control': file.cacheControl, vary: 'accept-encoding' })
  if (takesGzip) reply.header('content-encoding', 'gzip')
  return reply.send(takesGzip ? file.gzipped : file.bytes)
}
