// The Lua scripts of the folder scripts/, one operation each; each says in its head what it takes and answers.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

const names = [
  'append',
  'beat',
  'count-living',
  'count-unread',
  'denied-commands',
  'describe',
  'drop-group',
  'make-partition',
  'owners',
  'pause-group',
  'read-settled',
  'register-topic',
  'release',
  'reopen',
  'set-paused',
  'settle',
  'take',
  'trim',
  'unregister-group',
] as const

export type ScriptName = (typeof names)[number]

export interface Script {
  readonly text: string
  /** Its name on the server. */
  readonly sha1: string
}

export type Scripts = Readonly<Record<ScriptName, Script>>

export function readScripts(): Scripts {
  const entries = names.map((name) => {
    const text = readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8')
    return [name, { text, sha1: createHash('sha1').update(text).digest('hex') }] as const
  })
  return Object.fromEntries(entries) as Record<ScriptName, Script>
}
