// Finds, loads and installs the job queues of package.json.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

export type QueueName = 'bullmq' | 'pg-boss'

const folder = fileURLToPath(new URL('.', import.meta.url))

function isInstalled(name: QueueName): boolean {
  return existsSync(`${folder}node_modules/${name}/package.json`)
}

/** The package's exports, or why it is absent and what to do. */
export function loadQueue<T>(name: QueueName): T | { readonly absent: string } {
  if (!isInstalled(name)) return { absent: `${name} is not installed; run npm install in bench/peers/queues` }
  return createRequire(`${folder}package.json`)(name) as T
}

/** A failure is ignored: the blocks then say what is absent. */
export function installQueues(): void {
  if (isInstalled('bullmq') && isInstalled('pg-boss')) return
  console.error('installing BullMQ and pg-boss ...')
  spawnSync('npm', ['install', '--no-package-lock', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
  })
}
