// What the log on Redis may do is listed: the list is compared with the code. That it is enough is shown by the tests of
// the log, which run as a user that may do no more.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { usedCommands } from '../../src/event-log/redis/used-commands.ts'

const folder = fileURLToPath(new URL('../../src/event-log/redis', import.meta.url))
const withSubcommand = ['XGROUP', 'XINFO', 'SCRIPT', 'ACL', 'CONFIG', 'COMMAND', 'CLUSTER']

/** Commands stand in capitals where they are sent: `redis.call('GET', …)`, `command('GET', …)`, `['EVAL', …]`. */
const sent = /(?:redis\.p?call|command)\(\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?|\['(EVAL(?:SHA)?)'/g

test('the commands that are used are listed, those inside scripts too, and no others', () => {
  // What a connection of its own sends.
  const found = new Set(['ping', 'script|load', 'ssubscribe', 'sunsubscribe'])
  for (const file of globSync('**/*.{lua,ts}', { cwd: folder })) {
    // Clean and doctor look with the rights of whoever runs them.
    if (file === 'inspect-redis.ts') continue
    for (const [, name, subcommand, evaluation] of readFileSync(`${folder}/${file}`, 'utf8').matchAll(sent)) {
      const words = withSubcommand.includes(name ?? '') ? [name, subcommand] : [name ?? evaluation]
      found.add(words.join('|').toLowerCase())
    }
  }
  assert.deepEqual([...found].sort(), Object.keys(usedCommands).sort())
})
