// A test's own master with a replica, and a Sentinel that monitors them.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import { freePort } from './free-port.ts'
import { Redis, RedisServer, redisBinary } from './redis-server.ts'

export const masterName = 'main'

export class RedisSentinel extends Redis {
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly #directory: string
  readonly #child: ChildProcess

  private constructor(master: RedisServer, replica: RedisServer, port: number) {
    super(port)
    this.master = master
    this.replica = replica
    this.#directory = mkdtempSync(join(tmpdir(), 'millrace-sentinel-'))
    const file = join(this.#directory, 'sentinel.conf')
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${this.#directory}`,
      `sentinel monitor ${masterName} 127.0.0.1 ${master.port} 1`,
      `sentinel down-after-milliseconds ${masterName} 1000`,
      `sentinel failover-timeout ${masterName} 5000`,
    ]
    writeFileSync(file, lines.join('\n'))
    this.#child = spawn(redisBinary(), [file, '--sentinel'], { cwd: '/', stdio: 'ignore' })
  }

  /** Resolves when the replica is in sync with the master and the Sentinel knows both. */
  static async create(): Promise<RedisSentinel> {
    const master = await RedisServer.create()
    const replica = await RedisServer.create({ replicaOf: master }).catch(async (thrown) => {
      await master.destroy()
      throw thrown
    })
    const sentinel = new RedisSentinel(master, replica, await freePort())
    try {
      // By default it checks the roles every 10 s, and a test would wait that long for each step.
      await eventually(async () => {
        const answer = await sentinel.command('SENTINEL', 'DEBUG', 'INFO-PERIOD', '200', 'PUBLISH-PERIOD', '200')
        if (!answer.startsWith('+OK')) throw new Error(answer)
      })
      await eventually(
        async () => {
          const link = await replica.command('INFO', 'replication')
          if (!/master_link_status:up/.test(link) || /slave_repl_offset:0\r/.test(link))
            throw new Error('no replica yet')
          const known = await sentinel.command('SENTINEL', 'REPLICAS', masterName)
          // Before that it would promote no replica.
          if (!/slave-repl-offset\r\n\$\d+\r\n[1-9]/.test(known)) throw new Error('the Sentinel knows no replica yet')
        },
        { withinMs: 20_000, what: 'the Sentinel' },
      )
      return sentinel
    } catch (thrown) {
      await sentinel.destroy()
      throw thrown
    }
  }

  override get url(): string {
    return `redis+sentinel://127.0.0.1:${this.port}/${masterName}`
  }

  async destroy(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await ended
    }
    rmSync(this.#directory, { recursive: true, force: true })
    await this.replica.destroy()
    await this.master.destroy()
  }
}
