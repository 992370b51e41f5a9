// An nginx in front of a test's server.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cleanup } from './cleanup.ts'
import { freePort } from './free-port.ts'
import { tempDirectory } from './temp-directory.ts'

/** Starts it with these lines in its one server; returns its address, `127.0.0.1:port`. */
export async function startNginx(t: TestContext, lines: readonly string[]): Promise<string> {
  const directory = tempDirectory(t)
  const port = await freePort()
  const file = join(directory, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => {
    mkdirSync(join(directory, name))
    return `${name}_temp_path ${join(directory, name)};`
  })
  const http = ['access_log off;', ...temporary, `server { listen 127.0.0.1:${port};`, ...lines, '}']
  // One process with the rights of the test: the workers of a master started by root cannot read the directory.
  const main = ['daemon off;', 'master_process off;', `pid ${join(directory, 'pid')};`, 'error_log stderr;']
  writeFileSync(file, [...main, 'events {}', 'http {', ...http, '}'].join('\n'))
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }
  const child = spawn('nginx', ['-p', directory, '-c', file], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (part) => {
    errors += part
  })
  cleanup(t, async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}: ${errors}`)
    await sleep(20)
  }
  return `127.0.0.1:${port}`
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
