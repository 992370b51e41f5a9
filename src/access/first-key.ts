// The first admin key, which a server makes that needs keys and has none.
//
// The file is written before the row: a process that is killed in between finds its key in the file when it starts again, and
// stores that one. When many processes start at once, the one whose insert won has made the key.

import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MillraceError } from '../errors.ts'
import { type KeyRequest, scopes } from '../pipeline/keys.ts'
import type { ApiKeys, StoredApiKey } from '../store/api-keys.ts'
import { newKey, storedOf } from './key-registry.ts'
import { readKey } from './key-text.ts'

export const adminKeyFile = 'admin.key'

export interface FirstKey {
  readonly key: string
  /** The file that holds it, for the user of this process only. */
  readonly path: string
}

const request: KeyRequest = {
  ...{ name: 'admin', scopes, topics: null, types: null, ratePerSecond: null, expiresInSeconds: null },
}

/**
 * Makes an admin key, unless one is valid, and keeps it in `admin.key` of the data directory. Returns null when one was valid, or
 * another process has made it. Errors: those of ApiKeys; `failed_precondition` when the file cannot be written: nothing is stored
 * then.
 */
export async function makeFirstKey(
  store: Pick<ApiKeys, 'insertApiKey' | 'listApiKeys'>,
  dataDir: string,
  nowMs: number,
): Promise<FirstKey | null> {
  const keys = await listAll(store)
  const isValid = ({ revokedAtMicros, expiresAtMicros }: StoredApiKey) =>
    revokedAtMicros === null && (expiresAtMicros === null || expiresAtMicros > nowMs * 1000)
  if (keys.some((key) => key.scopes.includes('admin') && isValid(key))) return null

  const path = join(dataDir, adminKeyFile)
  const isStored = (keyId: string) => keys.some((key) => key.keyId === keyId)
  const { key, stored } = (await leftKey(path, isStored, nowMs)) ?? (await writeNewKey(path, nowMs))
  const insertion = await store.insertApiKey(stored, true)
  if (insertion === 'inserted') return { key, path }
  // With the same id, another process with this data directory has stored the key of the file.
  if (insertion !== 'id_taken' && (await readText(path)) === key) await rm(path, { force: true })
  return null
}

type NewKey = ReturnType<typeof newKey>

/** The key of the file, when this database does not have it. A file with any other content is removed. */
async function leftKey(path: string, isStored: (keyId: string) => boolean, nowMs: number): Promise<NewKey | null> {
  const text = await readText(path)
  if (text === null) return null
  const reading = readKey(text)
  if ('keyId' in reading && !isStored(reading.keyId)) return { key: text, stored: storedOf(text, request, nowMs) }
  await rm(path, { force: true })
  return null
}

async function writeNewKey(path: string, nowMs: number): Promise<NewKey> {
  const { key, stored } = newKey(request, nowMs)
  const draft = `${path}.${stored.keyId}`
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(draft, `${key}\n`, { mode: 0o600, flag: 'wx', flush: true })
    // Not renamed, which would replace the file of a process that starts at the same time.
    await link(draft, path)
    return { key, stored }
  } catch (cause) {
    const theirs = (cause as NodeJS.ErrnoException).code === 'EEXIST' ? await readText(path) : null
    if (theirs !== null) return { key: theirs, stored: storedOf(theirs, request, nowMs) }
    const problem = `the first admin key cannot be kept: ${(cause as Error).message}; make the data directory writable`
    throw new MillraceError('failed_precondition', problem, { cause, field: 'MILLRACE_DATA_DIR' })
  } finally {
    await rm(draft, { force: true }).catch(() => {})
  }
}

/** Null when there is no file, or it cannot be read. */
function readText(path: string): Promise<string | null> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => null,
  )
}

async function listAll(store: Pick<ApiKeys, 'listApiKeys'>): Promise<readonly StoredApiKey[]> {
  const keys: StoredApiKey[] = []
  for (let after: StoredApiKey | null = null; ; ) {
    const page: readonly StoredApiKey[] = await store.listApiKeys({ after, limit: 1000 })
    keys.push(...page)
    after = page.at(-1) ?? null
    if (page.length < 1000) return keys
  }
}
