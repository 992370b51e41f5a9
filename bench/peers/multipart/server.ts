// A fastify server that writes the file of a multipart body to the disk and flushes it at its end: server.ts DIRECTORY.
// Prints its address.

import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import multipart from '@fastify/multipart'
import fastify from 'fastify'

const directory = process.argv[2] ?? '.'
/** Chunks that arrive during a write are written together. */
const maxBufferedBytes = 1024 * 1024
let uploads = 0

const server = fastify()
await server.register(multipart, { limits: { fileSize: Number.POSITIVE_INFINITY } })
server.post('/', async (request) => {
  const part = await request.file()
  if (part === undefined) throw new Error('the body has no file')
  const fileId = String(++uploads)
  await pipeline(
    part.file,
    createWriteStream(`${directory}/${fileId}`, { flush: true, highWaterMark: maxBufferedBytes }),
  )
  return { file_id: fileId }
})
const address = await server.listen({ port: 0, host: '127.0.0.1' })
console.log(new URL(address).host)
