// A PgBouncer in transaction mode in front of a test's PostgreSQL.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { openWayTo, type Postgres, serverUser } from './postgres-server.ts'

export interface PgBouncerOptions {
  /** Further settings of its section [pgbouncer], `name = value`. */
  readonly settings?: readonly string[]
}

export class PgBouncer {
  readonly port: number
  readonly #postgres: Postgres
  readonly #directory: string
  readonly #child: ChildProcess

  private constructor(postgres: Postgres, port: number, directory: string, child: ChildProcess) {
    this.#postgres = postgres
    this.port = port
    this.#directory = directory
    this.#child = child
  }

  /** Starts it with its defaults, except for the mode. */
  static async create(postgres: Postgres, { settings = [] }: PgBouncerOptions = {}): Promise<PgBouncer> {
    const directory = mkdtempSync(join(tmpdir(), 'millrace-pgbouncer-'))
    const user = serverUser()
    const port = await freePort()
    const file = join(directory, 'pgbouncer.ini')
    const users = join(directory, 'users.txt')
    writeFileSync(users, '"postgres" ""\n')
    const lines = [
      ...['[databases]', `* = host=127.0.0.1 port=${postgres.port}`, '[pgbouncer]', 'pool_mode = transaction'],
      ...['listen_addr = 127.0.0.1', `listen_port = ${port}`, 'unix_socket_dir =', 'auth_type = trust'],
      ...[`auth_file = ${users}`, ...settings],
    ]
    writeFileSync(file, lines.join('\n'))
    if (user.uid !== undefined) {
      for (const path of [directory, file, users]) chownSync(path, user.uid, user.gid!)
      openWayTo(tmpdir())
    }
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }
    const child = spawn('pgbouncer', ['-q', file], { ...user, cwd: '/', stdio: 'ignore', env })
    while (!(await listens(port))) {
      if (child.exitCode !== null) throw new Error(`pgbouncer ended with ${child.exitCode}`)
      await sleep(20)
    }
    return new PgBouncer(postgres, port, directory, child)
  }

  /** The URL of a database of its PostgreSQL, through it. */
  through(url: string): string {
    return url.replace(`:${this.#postgres.port}/`, `:${this.port}/`)
  }

  async destroy(): Promise<void> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await ended
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
