// The Lua scripts in scripts/, one operation each; the header of each describes its arguments and its reply.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

const names = [
  'announce',
  'append',
  'beat',
  'blocked-lanes',
  'check-places',
  'count-living',
  'count-loss',
  'count-pending',
  'count-scheduled',
  'count-unread',
  'describe',
  'drop-group',
  'find-request',
  'flow',
  'held-keys',
  'list-members',
  'make-partition',
  'owners',
  'permits',
  'raise-epoch',
  'read-settled',
  'register-topic',
  'release',
  'release-key',
  'reopen',
  'set-group',
  'settle',
  'tail',
  'tail-cursor',
  'take',
  'trim',
] as const

export type ScriptName = (typeof names)[number]

export interface Script {
  readonly text: string
  /** The script's id on the server (EVALSHA). */
  readonly sha1: string
}

export type Scripts = Readonly<Record<ScriptName, Script>>

/** A script names in its header the files of parts/ to insert, because Redis scripts cannot share code. */
const include = /^-- include (\S+)$/gm

/** Removed, because Redis closes a connection that sends more than 16 KiB in one word before it has logged in. */
const indentOrComment = /^ *--.*$|^ +/gm

export function readScripts(): Scripts {
  const read = (path: string) => readFileSync(new URL(`./${path}.lua`, import.meta.url), 'utf8')
  const entries = names.map((name) => {
    const text = read(name)
      .replace(include, (_, part) => read(`parts/${part}`))
      .replace(indentOrComment, '')
    return [name, { text, sha1: createHash('sha1').update(text).digest('hex') }] as const
  })
  return Object.fromEntries(entries) as Record<ScriptName, Script>
}
