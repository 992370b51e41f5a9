// `millrace status`: prints the state of a running server, its groups and the ledger.

import { loadConfig } from '../config/config.ts'
import { groupStateText } from '../pipeline/group-state.ts'
import type { Status } from '../pipeline/pipeline.ts'
import { status as statusShape } from '../wire/status.ts'
import type { CommandInput } from './command.ts'
import { connectToServer } from './connect-to-server.ts'
import { formatOldest, formatSeconds } from './duration.ts'
import { exitCodes } from './exit-codes.ts'
import { visibleText } from './shown-text.ts'
import { formatCount, formatTable } from './table.ts'
import type { Terminal } from './terminal.ts'

const deadlineMs = 10_000

export async function run({ configInput, terminal }: CommandInput): Promise<number> {
  const config = loadConfig({ ...configInput, isForClient: true })
  const client = connectToServer(config, { deadlineMs })
  try {
    const status = await client.status()
    if (terminal.json) terminal.printJson(statusShape.toJson(status))
    else terminal.print(describeStatus(status, terminal))
    return status.state === 'unready' ? exitCodes.failed : exitCodes.done
  } finally {
    client.close()
  }
}

function describeStatus(status: Status, terminal: Terminal): string {
  const { log, store } = status
  const facts = [
    `millrace ${status.version}, up ${formatSeconds(status.uptimeSeconds)}`,
    `log ${log.driver} (epoch ${formatCount(log.epoch)}), durability ${status.durability}`,
    `store ${store.driver}, ${store.up ? 'up' : terminal.paint('red', 'down')}`,
    `state ${status.state === 'ready' ? status.state : terminal.paint('red', status.state)}`,
    ...status.causes.map(({ component, message }) => `! ${component}: ${visibleText(message)}`),
    `subscribers ${formatCount(status.subscribers)}, workers ${formatCount(status.workers)}`,
    `processes ${status.processes.map(({ host, roles }) => `${visibleText(host)} (${roles.map(visibleText).join(', ')})`).join(', ')}`,
  ]
  return [...facts, '', describeGroups(status, terminal), '', describeLedger(status, terminal)].join('\n')
}

function describeGroups({ topics }: Status, terminal: Terminal): string {
  const rows = topics.flatMap(({ name, partitions, groups }) =>
    groups.map((group) => [
      name,
      String(partitions),
      group.name,
      group.types.length === 0 ? 'all' : group.types.join(','),
      formatCount(group.waiting),
      formatCount(group.ready),
      formatCount(group.scheduled),
      formatCount(group.held),
      formatCount(group.inFlight),
      formatCount(group.skipped),
      formatOldest(group),
      visibleText(groupStateText(group.state)),
    ]),
  )
  const about = ['TOPIC', 'PARTITIONS', 'GROUP', 'TYPES']
  const heads = [...about, 'WAITING', 'READY', 'SCHEDULED', 'HELD', 'IN FLIGHT', 'SKIPPED', 'OLDEST', 'STATE']
  return formatTable(heads, rows, terminal)
}

function describeLedger({ ledger }: Status, terminal: Terminal): string {
  const rows = ledger.map((row) => [
    row.topic,
    row.group,
    formatCount(row.accepted),
    formatCount(row.reopened),
    formatCount(row.waiting),
    formatCount(row.landed),
    formatCount(row.dead),
    formatCount(row.lost),
    describeBalance(row.balanced, terminal),
  ])
  const heads = ['TOPIC', 'GROUP', 'ACCEPTED', 'REOPENED', 'WAITING', 'LANDED', 'DEAD', 'LOST', 'BALANCED']
  return formatTable(heads, rows, terminal)
}

function describeBalance(balanced: boolean | null, terminal: Terminal): string {
  if (balanced === null) return 'unknown'
  return balanced ? terminal.paint('green', 'yes') : terminal.paint('red', 'NO')
}
