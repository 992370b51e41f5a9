// A poison event: each time that the handler works on it, the process ends. It becomes a dead letter after its attempts,
// and the events beside it are done all the same.
//
//   node examples/poison-handler.ts

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, defineHandler } from '../src/index.ts'
import { startExample } from './support/example-server.ts'

const group = 'worker'
const [, program, ownDirectory] = process.argv
const directory = ownDirectory ?? mkdtempSync(join(tmpdir(), 'millrace-example-'))
const starts = join(directory, 'starts.txt')

if (ownDirectory === undefined) await supervise()
else await serve()

/** The process that ends: a server with the handler. */
async function serve(): Promise<void> {
  const handler = defineHandler({
    group,
    retry: { maxAttempts: 3 },
    handle({ id, type }) {
      appendFileSync(starts, `${id}\n`)
      if (type === 'order.poison') process.exit(9)
    },
  })
  const server = await startExample([handler], { MILLRACE_DATA_DIR: join(directory, 'data') })
  process.send?.(server.address)
  process.once('disconnect', () => void server.close())
}

/** Starts the server again each time that it ends, as systemd or Kubernetes do. */
async function supervise(): Promise<void> {
  let ends = 0
  let hasPublished = false
  for (let isDone = false; !isDone; ) {
    const child = fork(program!, [directory])
    const exited = once(child, 'exit')
    const address = await Promise.race([
      once(child, 'message').then(([text]) => text as string),
      exited.then(() => null),
    ])
    const finished = address === null ? Promise.resolve(false) : work(address, hasPublished).catch(() => false)
    isDone = await Promise.race([finished, exited.then(() => false)])
    hasPublished = true
    if (isDone) child.disconnect()
    const [code] = await exited
    if (code === 9) ends++
  }
  console.log(`the process ended ${ends} times, and was started again each time`)
  const counts = new Map<string, number>()
  for (const id of readFileSync(starts, 'utf8').trim().split('\n')) counts.set(id, (counts.get(id) ?? 0) + 1)
  console.log(`the poison began ${counts.get('poison')} times`)
  rmSync(directory, { recursive: true, force: true })
}

/** Publishes once, and resolves with true when the group has done everything. */
async function work(address: string, hasPublished: boolean): Promise<boolean> {
  const client = connect({ addresses: [address] })
  try {
    if (!hasPublished) {
      const events = Array.from({ length: 1000 }, (_, number) =>
        number === 500 ? { id: 'poison', type: 'order.poison' } : { id: `order-${number}`, type: 'order.paid' },
      )
      console.log('1000 events are published, and one of them ends its process')
      await client.publishEvents(events)
    }
    for (;;) {
      const { ledger } = await client.status()
      const line = ledger.find((each) => each.group === group)!
      if (line.waiting === 0) {
        const { deadLetters } = await client.administration.listDeadLetters({ limit: 10 })
        if (deadLetters.length === line.dead) {
          console.log(`${line.landed} events are done, ${line.dead} is dead`)
          for (const { type, message } of deadLetters) console.log(`dead letter ${type}: ${message}`)
          return true
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  } finally {
    client.close()
  }
}
