// `millrace agents`: lists the agents that have sent heartbeats.

import type { ListedAgent } from '../client/agent-client.ts'
import type { Client } from '../client/connect.ts'
import { formatRfc3339 } from '../lib/rfc3339.ts'
import { type CommandInput, textOption } from './command.ts'
import { formatSeconds } from './duration.ts'
import { exitCodes } from './exit-codes.ts'
import { cutText, visibleText } from './shown-text.ts'
import { formatTable } from './table.ts'
import { withClient } from './with-client.ts'

const defaultLimit = 100
const maxPage = 1000
const maxMetadataLength = 80

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const limit = Number(textOption(input, 'limit') ?? defaultLimit)
  const { agents, hasMore } = await withClient(input, (client) => listUpTo(client, limit))
  if (terminal.json) {
    terminal.printJson({ agents: agents.map(agentJson), has_more: hasMore })
  } else if (agents.length === 0) {
    terminal.print('No agent has sent a heartbeat.')
  } else {
    const rows = agents.map((agent) => rowOf(agent, Date.now()))
    terminal.print(formatTable(['AGENT', 'STATE', 'LAST SEEN', 'METADATA'], rows, terminal))
  }
  if (hasMore && !terminal.json) terminal.note('there are more; raise --limit')
  return exitCodes.done
}

interface Listed {
  readonly agents: readonly ListedAgent[]
  readonly hasMore: boolean
}

async function listUpTo(client: Client, limit: number): Promise<Listed> {
  const agents: ListedAgent[] = []
  for (let cursor: string | null = null; ; ) {
    const page = await client.agents({ limit: Math.min(maxPage, limit - agents.length), cursor })
    agents.push(...page.agents)
    cursor = page.nextCursor
    if (cursor === null || agents.length >= limit) return { agents, hasMore: cursor !== null }
  }
}

function agentJson({ agentId, lastSeenMicros, online, metadata }: ListedAgent): object {
  return { agent_id: agentId, last_seen: formatRfc3339(lastSeenMicros), online, metadata }
}

function rowOf({ agentId, lastSeenMicros, online, metadata }: ListedAgent, nowMs: number): string[] {
  // The clock of the server may be ahead.
  const age = formatSeconds(Math.max(0, nowMs / 1000 - lastSeenMicros / 1e6))
  const state = online ? 'online' : 'offline'
  return [visibleText(agentId), state, `${age} ago`, cutText(JSON.stringify(metadata), maxMetadataLength)]
}
