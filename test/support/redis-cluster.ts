// A test's own Redis Cluster: three masters, with one replica each on request.

import { eventually } from './eventually.ts'
import { freePort } from './free-port.ts'
import { RedisServer } from './redis-server.ts'

const masterCount = 3
const slots = 16_384

export interface RedisClusterOptions {
  /** Whether each master has a replica. Default false. */
  readonly hasReplicas?: boolean
  /** `cluster-node-timeout`: silence after which a master counts as failed, in milliseconds. Default 15,000. */
  readonly nodeTimeoutMs?: number
  /** Further settings of every node. */
  readonly settings?: readonly (readonly [name: string, value: string])[]
}

export class RedisCluster {
  readonly masters: readonly RedisServer[]
  /** The replicas of the first, second and third master. */
  readonly replicas: readonly RedisServer[]

  private constructor(masters: readonly RedisServer[], replicas: readonly RedisServer[]) {
    this.masters = masters
    this.replicas = replicas
  }

  /** Resolves when all slots are served and each replica is in sync with its master. */
  static async create(options: RedisClusterOptions = {}): Promise<RedisCluster> {
    const { hasReplicas = false, nodeTimeoutMs = 15_000, settings = [] } = options
    const started = await Promise.allSettled(
      Array.from({ length: hasReplicas ? 2 * masterCount : masterCount }, async () => {
        // The default bus port, 10,000 higher, may not be a valid port.
        const busPort = await freePort()
        const cluster = [
          ['cluster-enabled', 'yes'],
          ['cluster-port', String(busPort)],
          ['cluster-node-timeout', String(nodeTimeoutMs)],
          ['cluster-replica-validity-factor', '0'],
        ] as const
        return { busPort, server: await RedisServer.create({ settings: [...cluster, ...settings] }) }
      }),
    )
    const nodes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const servers = nodes.map(({ server }) => server)
    const cluster = new RedisCluster(servers.slice(0, masterCount), servers.slice(masterCount))
    try {
      for (const one of started) if (one.status === 'rejected') throw one.reason
      for (const [index, server] of servers.entries()) {
        await told(server, 'CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
        if (index >= masterCount) continue
        const [from, to] = [index, index + 1].map((share) => Math.floor((share * slots) / masterCount))
        await told(server, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(to! - 1))
      }
      // Every node meets every other: on a busy machine gossip alone is slow.
      for (const [index, { server, busPort }] of nodes.entries()) {
        for (const earlier of servers.slice(0, index)) {
          await told(earlier, 'CLUSTER', 'MEET', '127.0.0.1', String(server.port), String(busPort))
        }
      }
      await eventually(
        async () => {
          for (const server of servers) await expect(server, ['CLUSTER', 'INFO'], /cluster_state:ok/, nodes.length)
        },
        { withinMs: 30_000, what: 'the Cluster' },
      )
      for (const [index, replica] of cluster.replicas.entries()) {
        const id = /[0-9a-f]{40}/.exec(await cluster.masters[index]!.command('CLUSTER', 'MYID'))![0]
        await eventually(() => told(replica, 'CLUSTER', 'REPLICATE', id))
      }
      await cluster.waitForReplicas()
      return cluster
    } catch (thrown) {
      await cluster.destroy()
      throw thrown
    }
  }

  /** A comma-separated list of all masters. */
  get url(): string {
    return this.masters.map(({ url }) => url).join(',')
  }

  /** Resolves when every replica is in sync with its master and every node knows all replicas. */
  async waitForReplicas(): Promise<void> {
    if (this.replicas.length === 0) return
    await eventually(
      async () => {
        for (const replica of this.replicas) {
          if (!/master_link_status:up/.test(await replica.command('INFO', 'replication')))
            throw new Error('no link yet')
        }
        for (const node of [...this.masters, ...this.replicas]) {
          const known = (await node.command('CLUSTER', 'NODES')).match(/ (myself,)?slave /g)?.length ?? 0
          if (known < this.replicas.length) throw new Error(`${known} replicas are known`)
        }
      },
      { withinMs: 20_000, what: 'the replicas' },
    )
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.masters, ...this.replicas].map((server) => server.destroy()))
  }
}

async function told(server: RedisServer, ...words: readonly string[]): Promise<void> {
  const answer = await server.command(...words)
  if (!answer.startsWith('+OK')) throw new Error(`${words.join(' ')}: ${answer}`)
}

async function expect(server: RedisServer, words: readonly string[], pattern: RegExp, nodes: number): Promise<void> {
  const answer = await server.command(...words)
  if (!pattern.test(answer) || !answer.includes(`cluster_known_nodes:${nodes}\r\n`)) throw new Error(answer)
}
