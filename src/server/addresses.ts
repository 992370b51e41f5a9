// `addresses.json` in the data directory: where client commands find a server that runs on this machine.

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MillraceError } from '../errors.ts'

/** `host:port`, as bound. `grpc` is null without the role `ingest`. */
export interface Addresses {
  readonly http: string
  readonly grpc: string | null
  /** Both speak TLS only. */
  readonly tls?: true
}

/**
 * Writes the file, replacing one of an earlier process. It is renamed into place, so a reader never sees a partial
 * file.
 * Errors: `unavailable` when the data directory cannot be created.
 */
export async function publishAddresses(dataDir: string, addresses: Addresses): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true })
  } catch (thrown) {
    const reason = (thrown as Error).message
    const message = `the data directory ${dataDir} cannot be created: ${reason}; set MILLRACE_DATA_DIR to a path that this user can create`
    throw new MillraceError('unavailable', message, { cause: thrown, field: 'MILLRACE_DATA_DIR' })
  }
  const unfinished = `${pathIn(dataDir)}.new`
  await writeFile(unfinished, textOf(addresses))
  await rename(unfinished, pathIn(dataDir))
}

/** Removes the file, unless another process has replaced it since. */
export async function withdrawAddresses(dataDir: string, addresses: Addresses): Promise<void> {
  const path = pathIn(dataDir)
  if ((await readFile(path, 'utf8').catch(() => '')) === textOf(addresses)) await rm(path, { force: true })
}

function pathIn(dataDir: string): string {
  return join(dataDir, 'addresses.json')
}

function textOf(addresses: Addresses): string {
  return `${JSON.stringify(addresses)}\n`
}
