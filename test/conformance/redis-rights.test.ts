// The list of commands that the log on Redis may use is compared with the code. That the list is sufficient is shown by
// the tests of the log, which run as a user with these rights only.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { commandsOfLevels, commandsOfTopologies, usedCommands } from '../../src/event-log/redis/guard/used-commands.ts'

const folder = fileURLToPath(new URL('../../src/event-log/redis', import.meta.url))
const withSubcommand = ['XGROUP', 'XINFO', 'SCRIPT', 'ACL', 'CONFIG', 'COMMAND', 'CLUSTER']

/** Commands are written in capitals where they are sent: `redis.call('GET', …)`, `command('GET', …)`, `['EVAL', …]`. */
const sent = /(?:redis\.p?call|command)\(\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?|\[\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?/g

test('the list has exactly the commands that are used, including those inside scripts', () => {
  // Commands of the subscriber connection, which the pattern does not match.
  const found = new Set(['ping', 'ssubscribe', 'sunsubscribe'])
  for (const file of globSync('**/*.{lua,ts}', { cwd: folder })) {
    // `clean` runs with the rights of the operator, and tests with all.
    if (file === 'clean-redis.ts' || file.endsWith('.test.ts')) continue
    for (const [, called, sub, listed, listedSub] of readFileSync(`${folder}/${file}`, 'utf8').matchAll(sent)) {
      const [name, subcommand] = [called ?? listed ?? '', sub ?? listedSub]
      const words = withSubcommand.includes(name) ? [name, subcommand] : [name]
      found.add(words.join('|').toLowerCase())
    }
  }
  // This one is sent to Sentinels, which hold no log.
  found.delete('sentinel')
  const tables = [usedCommands, ...Object.values(commandsOfLevels), ...Object.values(commandsOfTopologies)]
  assert.deepEqual([...found].sort(), tables.flatMap(Object.keys).sort())
})
