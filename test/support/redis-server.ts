// Redis servers for tests: one that already runs, or a test's own in a temporary directory.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './free-port.ts'

const maxReplyMs = 10_000

export interface RedisOptions {
  /** Whether each write is flushed before the reply. Only for tests of durability. Default false. */
  readonly flushes?: boolean
  /** Parent of its data directory. Default: the directory for temporary files. */
  readonly parent?: string
  /** Further settings: `['maxmemory', '10mb']`. */
  readonly settings?: readonly (readonly [name: string, value: string])[]
  /** The master that it replicates. */
  readonly replicaOf?: Pick<Redis, 'port'>
}

/** A running server, shared or the test's own. */
export class Redis {
  readonly port: number

  constructor(port: number) {
    this.port = port
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Sends one command of words without spaces; returns the first reply as raw bytes from the wire. */
  async command(...words: readonly string[]): Promise<string> {
    const socket = connect(this.port, '127.0.0.1')
    socket.setTimeout(maxReplyMs, () => socket.destroy(new Error(`no reply to ${words[0]} within ${maxReplyMs} ms`)))
    socket.write(`${words.join(' ')}\r\n`)
    for await (const data of socket) return String(data)
    // A Sentinel that promotes a replica makes it close all connections.
    throw new Error(`Redis closed the connection before it replied to ${words[0]}`)
  }
}

/** A test's own server, on a free port. */
export class RedisServer extends Redis {
  readonly directory: string
  readonly #options: RedisOptions
  #child: ChildProcess | null = null

  private constructor(directory: string, port: number, options: RedisOptions) {
    super(port)
    this.directory = directory
    this.#options = options
  }

  static async create(options: RedisOptions = {}): Promise<RedisServer> {
    const directory = mkdtempSync(join(options.parent ?? tmpdir(), 'millrace-redis-'))
    const server = new RedisServer(directory, await freePort(), options)
    try {
      await server.start()
    } catch (thrown) {
      await server.destroy()
      throw thrown
    }
    return server
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Resolves when the server answers, after it has loaded its append-only file. */
  async start(): Promise<void> {
    const { flushes = false, settings = [], replicaOf } = this.#options
    const all = [
      ['port', String(this.port)],
      ['bind', '127.0.0.1'],
      ['dir', this.directory],
      ['save', ''],
      ['appendonly', 'yes'],
      ['appendfsync', flushes ? 'always' : 'no'],
      ...(replicaOf === undefined ? [] : [['replicaof', `127.0.0.1 ${replicaOf.port}`]]),
      // A replica starts its copy immediately, without waiting for other replicas.
      ['repl-diskless-sync-delay', '0'],
      ...settings,
    ]
    const child = spawn(
      redisBinary(),
      // A value with several words becomes several arguments.
      all.flatMap(([name, value]) => [`--${name}`, ...value!.split(' ')]),
      // In its own process group, so that the processes it forks to write its files are killed with it.
      { cwd: '/', stdio: 'ignore', detached: true },
    )
    this.#child = child
    for (;;) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
      if ((await this.command('PING').catch(() => '')).startsWith('+PONG')) return
      await sleep(10)
    }
  }

  /** `SIGSTOP` suspends it, like a machine that hangs; `SIGCONT` resumes it. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  /** SIGTERM: its data is written. SIGKILL: as after a crash. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    if (signal === 'SIGKILL') process.kill(-(child.pid as number), signal)
    else child.kill(signal)
    await ended
  }

  async destroy(): Promise<void> {
    await this.stop('SIGKILL')
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export function redisBinary(): string {
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map((directory) => join(directory, 'redis-server'))
    .find(isExecutable)
  if (found === undefined) throw new Error('Redis is not installed; npm test prints how to install it')
  return found
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
