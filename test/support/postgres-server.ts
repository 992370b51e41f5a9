// PostgreSQL servers for tests: one that already runs, or a test's own in a temporary directory.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'pg'
import { freePort } from './free-port.ts'

export interface PostgresOptions {
  /** Whether fsync is on. Only for tests of durability, because it is slow. Default false. */
  readonly fsync?: boolean
  /** Parent of its data directory. Default: the directory for temporary files. */
  readonly parent?: string
  /** Further settings, `name=value`. */
  readonly settings?: readonly string[]
}

export interface User {
  readonly uid?: number
  readonly gid?: number
}

/** A running server, shared or the test's own. */
export class Postgres {
  readonly port: number
  /** One client per URL, because each connection costs PostgreSQL a process. */
  readonly #pools = new Map<string, Pool>()
  #databases = 0

  constructor(port: number) {
    this.port = port
  }

  url(database = 'postgres', user = 'postgres'): string {
    return `postgres://${user}@127.0.0.1:${this.port}/${database}`
  }

  /** An empty database, under a name that no other process uses, and its URL. */
  async createDatabase(): Promise<string> {
    const name = `test_${process.pid}_${++this.#databases}`
    await this.query(`CREATE DATABASE ${name} STRATEGY FILE_COPY`)
    return this.url(name)
  }

  async dropDatabase(url: string): Promise<void> {
    await this.query(`DROP DATABASE ${new URL(url).pathname.slice(1)} WITH (FORCE)`)
  }

  /** Runs one statement as the superuser. */
  async query(
    statement: string,
    parameters: readonly unknown[] = [],
    url = this.url(),
  ): Promise<Record<string, unknown>[]> {
    let pool = this.#pools.get(url)
    if (pool === undefined) {
      pool = new Pool({ connectionString: url, max: 4, idleTimeoutMillis: 1000, allowExitOnIdle: true })
      // The server may close a connection while it is idle.
      pool.on('error', () => {})
      this.#pools.set(url, pool)
    }
    return (await pool.query(statement, [...parameters])).rows as Record<string, unknown>[]
  }
}

/** Names a directory of `createCluster` in which no server has run. Where it is set, new clusters are copies of it. */
export const clusterVariable = 'TEST_POSTGRES_CLUSTER'

/** Creates a directory in which `data` is a new database cluster. initdb takes a second of CPU time, a copy a tenth of it. */
export function createCluster(parent = tmpdir()): string {
  const user = serverUser()
  const directory = mkdtempSync(join(parent, 'millrace-postgres-'))
  if (user.uid !== undefined) {
    chownSync(directory, user.uid, user.gid!)
    openWayTo(parent)
  }
  const data = join(directory, 'data')
  const original = process.env[clusterVariable]
  if (original === undefined) {
    const initdb = ['-D', data, '-A', 'trust', '-U', 'postgres', '--no-sync', '-E', 'UTF8', '--locale=C.UTF-8']
    execFileSync(join(binaries(), 'initdb'), initdb, { ...user, stdio: 'ignore', cwd: '/' })
  } else execFileSync('cp', ['-a', join(original, 'data'), data])
  return directory
}

/** A test's own server, on a free port. */
export class PostgresServer extends Postgres {
  readonly directory: string
  readonly #options: PostgresOptions
  readonly #user: User
  #child: ChildProcess | null = null

  private constructor(directory: string, port: number, user: User, options: PostgresOptions) {
    super(port)
    this.directory = directory
    this.#user = user
    this.#options = options
  }

  /** Creates the database cluster and starts the server. */
  static async create(options: PostgresOptions = {}): Promise<PostgresServer> {
    const directory = createCluster(options.parent)
    const server = new PostgresServer(directory, await freePort(), serverUser(), options)
    await server.start()
    return server
  }

  /** Resolves when the server accepts connections. */
  async start(): Promise<void> {
    const { fsync = false, settings = [] } = this.#options
    const all = [`fsync=${fsync ? 'on' : 'off'}`, 'listen_addresses=127.0.0.1', 'max_connections=50', ...settings]
    const place = ['-D', join(this.directory, 'data'), '-p', String(this.port), '-k', this.directory]
    const child = spawn(join(binaries(), 'postgres'), [...place, ...all.flatMap((setting) => ['-c', setting])], {
      ...this.#user,
      cwd: '/',
      stdio: 'ignore',
    })
    this.#child = child
    for (;;) {
      if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`)
      if (await this.#answers()) return
      await sleep(20)
    }
  }

  /** The processes of the server. */
  get pids(): number[] {
    const parent = this.#child?.pid
    if (parent === undefined) return []
    const numbers = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    return [parent, ...numbers.map(Number).filter((pid) => parentOf(pid) === parent)]
  }

  /** SIGINT: sessions are closed and committed data is flushed. SIGQUIT: as after a crash. */
  async stop(signal: 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }

  async destroy(): Promise<void> {
    await this.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }

  async #answers(): Promise<boolean> {
    return this.query('SELECT 1').then(
      () => true,
      () => false,
    )
  }
}

/** The server's user must be able to reach its directory through the parent directories that the test run created. */
export function openWayTo(directory: string): void {
  for (let path = directory; basename(path).startsWith('millrace-'); path = dirname(path)) {
    chmodSync(path, statSync(path).mode | 0o011)
  }
}

function parentOf(pid: number): number | null {
  try {
    // The state and the parent follow the name, which may contain any character.
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1])
  } catch {
    return null
  }
}

/** PostgreSQL refuses to run as root. */
export function serverUser(): User {
  if (process.getuid?.() !== 0) return {}
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}

/** Debian keeps the server's programs off the PATH. */
function binaries(): string {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, 'initdb'))
  const found = [...globSync(onPath), ...globSync('/usr/lib/postgresql/*/bin/initdb').sort().reverse()]
  if (found[0] === undefined) throw new Error('PostgreSQL is not installed; npm test prints how to install it')
  return dirname(found[0])
}
