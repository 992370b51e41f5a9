// `millrace keys list`: lists the API keys, also those that have ended. The keys themselves are stored nowhere.

import type { KeyDescription } from '../pipeline/keys.ts'
import { keyDescription } from '../wire/keys.ts'
import type { CommandInput } from './command.ts'
import { formatSeconds } from './duration.ts'
import { exitCodes } from './exit-codes.ts'
import { cutText } from './shown-text.ts'
import { formatTable } from './table.ts'
import { withClient } from './with-client.ts'

const maxPage = 1000
const maxPatternsLength = 40

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const keys = await withClient(input, async (client) => {
    const found: KeyDescription[] = []
    for (let cursor: string | null = null; ; ) {
      const page = await client.keys.list({ limit: maxPage, cursor })
      found.push(...page.keys)
      cursor = page.nextCursor
      if (cursor === null) return found
    }
  })
  if (terminal.json) {
    terminal.printJson({ keys: keys.map(keyDescription.toJson) })
  } else if (keys.length === 0) {
    terminal.print('There are no keys.')
  } else {
    const rows = keys.map((key) => rowOf(key, Date.now()))
    terminal.print(
      formatTable(['ID', 'NAME', 'STATE', 'SCOPES', 'TOPICS', 'TYPES', 'RATE', 'LAST USED'], rows, terminal),
    )
  }
  return exitCodes.done
}

function rowOf(key: KeyDescription, nowMs: number): string[] {
  const patterns = (list: readonly string[] | null) => cutText(list?.join(',') ?? 'all', maxPatternsLength)
  return [
    ...[key.keyId, key.name, stateOf(key, nowMs), key.scopes.join(','), patterns(key.topics), patterns(key.types)],
    key.ratePerSecond === null ? '–' : `${key.ratePerSecond}/s`,
    key.lastUsedAtMicros === null ? 'never' : `${secondsBetween(key.lastUsedAtMicros, nowMs * 1000)} ago`,
  ]
}

function stateOf({ revokedAtMicros, expiresAtMicros }: KeyDescription, nowMs: number): string {
  if (revokedAtMicros !== null) return 'revoked'
  if (expiresAtMicros === null) return 'valid'
  if (expiresAtMicros <= nowMs * 1000) return 'expired'
  return `valid for ${secondsBetween(nowMs * 1000, expiresAtMicros)}`
}

/** The clock of the server may be ahead. */
function secondsBetween(fromMicros: number, toMicros: number): string {
  return formatSeconds(Math.max(0, (toMicros - fromMicros) / 1e6))
}
