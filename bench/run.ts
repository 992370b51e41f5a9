// npm run bench: measures Millrace against its floors in the same run and prints one table of ratios.
//
// docs/benchmark.md explains the results.

import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { contests, durabilityLabels, type WorkloadId, workloadIds } from './contests.ts'
import { evaluate, type ResultRow } from './evaluate.ts'
import { machineFacts, machineLine } from './machine.ts'
import { smallestPayloadBytes } from './messages.ts'
import { installPython } from './peers/python-loop/python.ts'
import { installQueues } from './peers/queues/queues.ts'
import type { BlockRun } from './run-block.ts'
import { runContest } from './run-contest.ts'
import { type SizeName, sizesByName } from './sizes.ts'
import { formatRun, formatTable } from './table.ts'

const usage = `npm run bench -- [${workloadIds.join('] [')}] [--quick | --full] [--payload 200] [--output table|json] [--record] [--install]

  --quick    short blocks, two rounds: about three minutes
  --full     long blocks, eight rounds, for a published claim
  --tiny     only checks that everything runs
  --payload  bytes of JSON in each event, ${smallestPayloadBytes} to 10240 (default 200)
  --output   table (default), or json with all measurements
  --record   also writes the JSON into bench/results/
  --install  installs missing peers, on Debian as root; npm run bench sets it`

interface Options {
  readonly workloads: readonly WorkloadId[]
  readonly size: SizeName
  readonly payloadBytes: number
  readonly output: 'table' | 'json'
  readonly record: boolean
  readonly install: boolean
}

class UsageError extends Error {}

function readOptions(): Options {
  const { values, positionals } = parse()
  const workloads = positionals.map((word) => {
    const id = workloadIds.find((known) => known === word.toUpperCase())
    if (id === undefined) throw new UsageError(`${word} is not a workload; choose from ${workloadIds.join(', ')}`)
    return id
  })
  const payloadBytes = Number(values.payload)
  if (!Number.isInteger(payloadBytes) || payloadBytes < smallestPayloadBytes || payloadBytes > 10_240) {
    throw new UsageError(`--payload is ${values.payload}; it must be from ${smallestPayloadBytes} to 10240 bytes`)
  }
  if (values.output !== 'table' && values.output !== 'json') {
    throw new UsageError(`--output is ${values.output}; it must be table or json`)
  }
  return {
    workloads: workloads.length === 0 ? workloadIds : workloads,
    size: values.tiny ? 'tiny' : values.quick ? 'quick' : values.full ? 'full' : 'usual',
    payloadBytes,
    output: values.output,
    record: values.record,
    install: values.install,
  }
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        full: { type: 'boolean', default: false },
        tiny: { type: 'boolean', default: false },
        payload: { type: 'string', default: '200' },
        output: { type: 'string', default: 'table' },
        record: { type: 'boolean', default: false },
        install: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

async function run({ workloads, size, payloadBytes, output, record, install }: Options): Promise<boolean> {
  if (install && workloads.includes('W2')) installPython()
  if (install && (workloads.includes('W5') || workloads.includes('W7'))) installQueues()
  const startedAt = new Date()
  const machine = machineFacts()
  console.error(machineLine(machine))
  const rows: ResultRow[] = []
  const runs: ({ readonly workload: WorkloadId } & BlockRun)[] = []
  for (const contest of contests(sizesByName[size], payloadBytes)) {
    if (!workloads.includes(contest.id)) continue
    const ofContest = await runContest(contest, (run) => console.error(`${contest.id}  ${formatRun(run)}`))
    runs.push(...ofContest.map((run) => ({ workload: contest.id, ...run })))
    rows.push(...evaluate(contest, ofContest))
  }
  const seconds = Math.round((Date.now() - startedAt.getTime()) / 1000)
  const command = ['npm run bench --', ...process.argv.slice(2).filter((word) => word !== '--install')].join(' ')
  const report = { startedAt, seconds, command, size, payloadBytes, machine, durabilityLabels, rows, runs }
  const json = `${JSON.stringify(report, null, 1)}\n`
  if (record) {
    const folder = fileURLToPath(new URL('results/', import.meta.url))
    mkdirSync(folder, { recursive: true })
    writeFileSync(`${folder}${startedAt.toISOString().slice(0, 16).replace(':', '')}-${size}.json`, json)
  }
  process.stdout.write(output === 'json' ? json : `\n${formatTable(rows)}\n\n${seconds} s; events per second\n`)
  return rows.every(({ verdict }) => verdict !== 'invalid')
}

try {
  process.exitCode = (await run(readOptions())) ? 0 : 1
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(`${error.message}\n\n${usage}`)
  process.exitCode = 2
}
