// What a key may be for, a sentence each.

import type { Scope } from '../api.ts'

export const scopeTexts: Readonly<Record<Scope, string>> = {
  publish: 'Sends events, heartbeats and requests, reads the replies, uploads files.',
  subscribe: 'Follows the live feed.',
  work: 'Takes events as a worker, downloads files.',
  read: 'Looks: status, events, dead letters, groups, agents, files.',
  operate: 'Redrives, replays, pauses and deletes groups.',
  admin: 'Makes, lists and revokes keys: in effect everything.',
}

export const scopes = Object.keys(scopeTexts) as readonly Scope[]
