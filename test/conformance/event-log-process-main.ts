// A process that works with an embedded log until it is killed, or the log fails. It prints the results to stdout, line
// by line: `accepted <first> <last>` (numbers of events), `reopened <id>`, `settled <id> <id> ...`,
// `failed <code> <message>`.
//
// Arguments: the data directory, the number of the first event, and the mode: `append`, `consume too` (appends and
// consumes) or `reopen too` (appends, consumes and reopens).

import { setImmediate as nextTurn } from 'node:timers/promises'
import { toMillraceError } from '../../src/errors.ts'
import { openEmbedded } from './event-log-copies.ts'
import { batchOf, group, idsIn, landed, leaseMs, named, perLane, stream, topic } from './event-log-verbs.ts'

const [dataDir, first, mode] = process.argv.slice(2) as [string, string, string]
/** A write to a pipe is synchronous here, so a line is out before what follows it; a full pipe blocks. */
const say = (line: string) => process.stdout.write(`${line}\n`)

const eventLog = await openEmbedded(dataDir)
await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
void eventLog.failed.then((reason) => say(`failed ${toMillraceError(reason).code} ${reason.message}`))

let next = Number(first)
const size = 20

async function produce(): Promise<void> {
  for (;;) {
    const from = next
    next += size
    const ids = named('', size).map((index) => String(from + Number(index)))
    await eventLog.append(stream(), [batchOf(ids)])
    say(`accepted ${from} ${from + size - 1}`)
  }
}

async function redrive(): Promise<void> {
  const reopen = async (id: string) => {
    await eventLog.reopen(stream(), group, [{ batch: batchOf([id]), attempt: 1, offset: 0 }])
    say(`reopened ${id}`)
  }
  for (let number = Number(first); ; number++) {
    // The second call is made while the first is being committed.
    const later = nextTurn().then(() => reopen(`late${number}`))
    const [soon] = await Promise.allSettled([reopen(`soon${number}`), later])
    if (soon.status === 'rejected') throw soon.reason
  }
}

async function consume(): Promise<void> {
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  for (;;) {
    const deliveries = await consumer.next({ maxEvents: perLane(200), maxWaitMs: 1000 })
    const settled = deliveries.filter((_, index) => index % 4 !== 3)
    await consumer.settle(settled.map(landed))
    if (settled.length > 0) say(`settled ${settled.flatMap(idsIn).join(' ')}`)
  }
}

const work = [produce(), produce(), produce()]
if (mode !== 'append') work.push(consume())
if (mode === 'reopen too') work.push(redrive())
const results = await Promise.allSettled(work)
for (const result of results) {
  if (result.status === 'rejected') say(`ended ${toMillraceError(result.reason).code}`)
}
const late = await eventLog.append(stream(), [batchOf(['late'])]).catch(toMillraceError)
say(`afterwards ${'code' in late ? late.code : 'accepted'}`)
await eventLog.close()
