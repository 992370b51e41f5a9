// Readers of pages of events, each requesting the next one when it has one: page-readers.ts URL COUNT. Prints the URL
// when the first page has been read.

import { once } from 'node:events'
import { Agent, get } from 'node:http'

const [url = '', readers = '1'] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true })
let pages = 0

async function readPage(): Promise<void> {
  const [answer] = await once(get(url, { agent }), 'response')
  if (answer.statusCode !== 200) throw new Error(`${url} answered ${answer.statusCode}`)
  answer.resume()
  await once(answer, 'end')
  if (pages++ === 0) console.log(url)
}

async function readForever(): Promise<never> {
  for (;;) await readPage()
}

await Promise.all(Array.from({ length: Number(readers) }, readForever))
