// The ledger on Redis compared with a model, while groups are destroyed, keys deleted, the server emptied and processes
// killed. Every choice derives from one seed, which is printed: MODEL_SEED=… repeats them.
//
// After each step the ledger adds up and the audit agrees. Events that were accepted and not settled are delivered,
// unless their entry was destroyed; settled ones are redelivered only after a loss. At the end all is settled and
// nothing waits.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Lane, lanes } from '../../src/event/event.ts'
import type { Consumer, Delivery, EventLog, Outcome } from '../../src/event-log/event-log.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import type { LogReset } from '../../src/event-log/redis/session/sessions.ts'
import { cleanup } from '../support/cleanup.ts'
import { SeededRandom } from '../support/random.ts'
import type { RedisServer } from '../support/redis-server.ts'
import { asLimitedUser } from '../support/redis-user.ts'
import { startTcpRelay, type TcpRelay } from '../support/tcp-relay.ts'
import { batchOf, idsIn, ledgerOf, perLane, stream, topic } from './event-log-verbs.ts'
import { booksKey, isOver, joinAgain, prefix, startServer } from './redis-log.ts'

const steps = 120
const groups = ['first', 'second'] as const
const leaseMs = 10_000
const silent = { info() {}, warn() {} }

/** What must still be delivered to one group, and what may be redelivered although it is settled. */
interface GroupModel {
  /** By id: the lane, and whether the event waits in the group's own stream. */
  readonly open: Map<string, { readonly lane: Lane; isAgain: boolean }>
  readonly settled: Map<string, Lane>
  readonly mayRepeat: Set<string>
}

interface Member {
  readonly process: number
  readonly group: (typeof groups)[number]
  readonly consumer: Consumer
  held: Delivery[]
}

class Story {
  readonly random: SeededRandom
  readonly server: RedisServer
  readonly processes: { readonly eventLog: EventLog; readonly relay: TcpRelay }[] = []
  readonly models = new Map<string, GroupModel>()
  readonly resets: LogReset[] = []
  members: Member[] = []
  skewMs = 0
  lastId = 0

  constructor(random: SeededRandom, server: RedisServer) {
    this.random = random
    this.server = server
    for (const name of groups) this.models.set(name, { open: new Map(), settled: new Map(), mayRepeat: new Set() })
  }

  async start(t: TestContext): Promise<void> {
    const relay = await startTcpRelay(this.server.port)
    const elapsedMs = () => performance.now() + this.skewMs
    const eventLog = await openRedisLog({
      ...{ url: asLimitedUser(relay.url), prefix, logger: silent, now: Date.now, elapsedMs },
      onReset: (reset) => this.resets.push(reset),
    })
    cleanup(t, async () => {
      await eventLog.close()
      await relay.close()
    })
    await eventLog.declare(topic, { partitions: 1, groups: groups.map((name) => ({ name })) })
    this.processes.push({ eventLog, relay })
    for (const group of groups) {
      const consumer = await eventLog.consume(topic, group, { leaseMs })
      this.members.push({ process: this.processes.length - 1, group, consumer, held: [] })
    }
  }

  get eventLog(): EventLog {
    return this.processes.at(-1)!.eventLog
  }

  async append(): Promise<void> {
    const lane = this.random.pick(lanes)
    const batches = Array.from({ length: this.random.between(1, 4) }, () =>
      Array.from({ length: this.random.between(1, 3) }, () => `e${++this.lastId}`),
    )
    const living = this.members.map(({ process }) => process)
    const { eventLog } = this.processes[this.random.pick(living)]!
    await eventLog.append(
      stream(lane),
      batches.map((ids) => batchOf(ids)),
    )
    for (const model of this.models.values()) {
      for (const id of batches.flat()) model.open.set(id, { lane, isAgain: false })
    }
  }

  async take(member = this.random.pick(this.members)): Promise<number> {
    const maxEvents = perLane(this.random.pick([1, 5, 100]))
    const deliveries = await member.consumer.next({ maxEvents, maxWaitMs: 0 })
    const { open, settled, mayRepeat } = this.models.get(member.group)!
    for (const id of deliveries.flatMap(idsIn)) {
      assert.ok(open.has(id) || (settled.has(id) && mayRepeat.has(id)), `${id} was delivered to ${member.group}`)
    }
    member.held.push(...deliveries)
    return deliveries.length
  }

  /** Settles some of what a member holds; returns what was refused. */
  async settle(member: Member, deliveries: readonly Delivery[], canComeAgain = true): Promise<readonly Delivery[]> {
    member.held = member.held.filter((delivery) => !deliveries.includes(delivery))
    const outcomes: Outcome[] = deliveries.map((delivery) => {
      const { batch, attempt } = delivery
      const fate = this.random.pick(canComeAgain ? ['landed', 'dead', 'again'] : ['landed'])
      if (fate === 'again') return { delivery, landed: 0, dead: 0, again: [{ batch, attempt, dueAtMs: 0 }] }
      return { delivery, landed: fate === 'landed' ? batch.count : 0, dead: fate === 'dead' ? batch.count : 0 }
    })
    const refused = await member.consumer.settle(outcomes)
    const { open, settled } = this.models.get(member.group)!
    for (const { delivery, again } of outcomes) {
      if (refused.includes(delivery)) continue
      for (const id of idsIn(delivery)) {
        const { lane } = delivery.position.stream
        if (again === undefined) {
          open.delete(id)
          settled.set(id, lane)
        } else {
          open.set(id, { lane, isAgain: true })
        }
      }
    }
    return refused
  }

  async settleSome(): Promise<void> {
    const member = this.random.pick(this.members)
    const some = member.held.slice(0, this.random.between(1, 6))
    assert.deepEqual(await this.settle(member, some), [], 'nothing was lost since')
  }

  async leave(): Promise<void> {
    const member = this.random.pick(this.members)
    await member.consumer.close()
    const { eventLog } = this.processes[member.process]!
    const consumer = await eventLog.consume(topic, member.group, { leaseMs })
    this.members = [...this.members.filter((other) => other !== member), { ...member, consumer, held: [] }]
  }

  async die(t: TestContext): Promise<void> {
    const { process } = this.random.pick(this.members)
    await this.processes[process]!.relay.close()
    this.members = this.members.filter((member) => member.process !== process)
    await this.start(t)
  }

  async destroyGroup(): Promise<void> {
    const [group, lane] = [this.random.pick(groups), this.random.pick(lanes)]
    await this.server.command('XGROUP', 'DESTROY', `${prefix}:{${topic}/0}:lane:${lane}`, group)
    const model = this.models.get(group)!
    for (const [id, settledIn] of model.settled) if (settledIn === lane) model.mayRepeat.add(id)
    for (const [id, facts] of model.open) if (facts.lane === lane) model.mayRepeat.add(id)
    for (const member of this.members.filter((each) => each.group === group)) {
      const held = member.held.filter(({ position }) => position.stream.lane === lane)
      const own = held.filter((delivery) => idsIn(delivery).every((id) => model.open.get(id)?.isAgain === true))
      const refused = await this.settle(member, held)
      for (const delivery of held.filter((each) => !own.includes(each))) assert.ok(refused.includes(delivery))
    }
  }

  async deleteLane(): Promise<void> {
    const lane = this.random.pick(lanes)
    await this.server.command('DEL', `${prefix}:{${topic}/0}:lane:${lane}`)
    for (const member of this.members) {
      const held = member.held.filter(({ position }) => position.stream.lane === lane)
      await this.settle(member, held)
    }
    for (const { open } of this.models.values()) {
      for (const [id, facts] of open) if (facts.lane === lane && !facts.isAgain) open.delete(id)
    }
  }

  /** The books are lost, or everything: no member holds anything any more. */
  async forget(what: 'books' | 'all'): Promise<void> {
    const { epoch } = await this.eventLog.describe()
    await this.server.command(...(what === 'books' ? ['DEL', booksKey] : ['FLUSHALL']))
    for (const model of this.models.values()) {
      if (what === 'all') {
        model.open.clear()
        model.settled.clear()
      }
      for (const id of [...model.open.keys(), ...model.settled.keys()]) model.mayRepeat.add(id)
    }
    for (const member of this.members) {
      if (member.held.length > 0) await assert.rejects(this.settle(member, member.held), isOver)
    }
    this.members = await Promise.all(
      this.members.map(async (member) => {
        const log = this.processes[member.process]!.eventLog
        await log.describe()
        return { ...member, consumer: await joinAgain(log, member.consumer, leaseMs, member.group), held: [] }
      }),
    )
    assert.equal((await this.eventLog.describe()).epoch, epoch + 1)
  }

  async check(): Promise<void> {
    for (const name of groups) {
      const { accepted, reopened, waiting, landed, dead, lost, auditedWaiting } = await ledgerOf(this.eventLog, name)
      assert.equal(accepted + reopened, waiting + landed + dead + lost!, name)
      assert.equal(auditedWaiting, waiting, name)
      const { open } = this.models.get(name)!
      assert.ok(waiting >= open.size, `${waiting} wait for ${name}, ${open.size} must be delivered`)
    }
  }

  async drain(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      let got = 0
      for (const member of this.members) {
        got += await this.take(member)
        assert.deepEqual(await this.settle(member, [...member.held], false), [])
      }
      // Dead members are detected after a lease.
      this.skewMs += leaseMs
      idle = got === 0 ? idle + 1 : 0
    }
    for (const name of groups) {
      assert.deepEqual([...this.models.get(name)!.open.keys()], [], `never delivered to ${name}`)
      const { waiting, auditedWaiting, inFlight } = await ledgerOf(this.eventLog, name)
      assert.deepEqual([waiting, auditedWaiting, inFlight], [0, 0, 0], name)
    }
  }
}

test('whatever Redis loses, the ledger adds up and no remaining entry is lost', async (t) => {
  const seed = Number(process.env.MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.diagnostic(`MODEL_SEED=${seed}`)
  const story = new Story(new SeededRandom(seed), await startServer(t))
  await story.start(t)
  await story.start(t)
  const often = ['append', 'append', 'append', 'take', 'take', 'take', 'settle', 'settle', 'settle'] as const
  const seldom = ['leave', 'die', 'destroyGroup', 'destroyGroup', 'deleteLane', 'books', 'all'] as const
  const done: string[] = []
  try {
    for (let step = 0; step < steps; step++) {
      const choice = story.random.between(1, 4) === 1 ? story.random.pick(seldom) : story.random.pick(often)
      done.push(choice)
      if (choice === 'append') await story.append()
      else if (choice === 'take') await story.take()
      else if (choice === 'settle') await story.settleSome()
      else if (choice === 'leave') await story.leave()
      else if (choice === 'die') await story.die(t)
      else if (choice === 'destroyGroup') await story.destroyGroup()
      else if (choice === 'deleteLane') await story.deleteLane()
      else await story.forget(choice)
      await story.check()
    }
    await story.drain()
  } catch (thrown) {
    throw new Error(`MODEL_SEED=${seed}, after ${done.join(' ')}`, { cause: thrown })
  }
})
