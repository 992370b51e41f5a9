// What the log on Redis may do is listed: the list is compared with the code. That it is enough is shown by the tests of
// the log, which run as a user that may do no more.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { commandsOfLevels, commandsOfTopologies, usedCommands } from '../../src/event-log/redis/used-commands.ts'

const folder = fileURLToPath(new URL('../../src/event-log/redis', import.meta.url))
const withSubcommand = ['XGROUP', 'XINFO', 'SCRIPT', 'ACL', 'CONFIG', 'COMMAND', 'CLUSTER']

/** Commands stand in capitals where they are sent: `redis.call('GET', …)`, `command('GET', …)`, `['EVAL', …]`. */
const sent = /(?:redis\.p?call|command)\(\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?|\[\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?/g

test('the commands that are used are listed, those inside scripts too, and no others', () => {
  // What a connection of its own sends.
  const found = new Set(['ping', 'ssubscribe', 'sunsubscribe'])
  for (const file of globSync('**/*.{lua,ts}', { cwd: folder })) {
    // Clean and doctor look with the rights of whoever runs them.
    if (file === 'clean-redis.ts') continue
    for (const [, called, sub, listed, listedSub] of readFileSync(`${folder}/${file}`, 'utf8').matchAll(sent)) {
      const [name, subcommand] = [called ?? listed ?? '', sub ?? listedSub]
      const words = withSubcommand.includes(name) ? [name, subcommand] : [name]
      found.add(words.join('|').toLowerCase())
    }
  }
  // Those are asked who have no log.
  found.delete('sentinel')
  const tables = [usedCommands, ...Object.values(commandsOfLevels), ...Object.values(commandsOfTopologies)]
  assert.deepEqual([...found].sort(), tables.flatMap(Object.keys).sort())
})
