import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maxProducers } from '../event-log.ts'
import { ProducerWindow } from './producer-window.ts'
import { Producer, Producers } from './producers.ts'

const stream = () => ({ producers: new Map<string, Producer>() })

/** The maximum number of stored producers, named p1, p2 and so on, least recently used first. */
function maximumOfProducers() {
  const home = stream()
  const producers = new Producers()
  for (let number = 1; number <= maxProducers; number++) {
    producers.restore(home, new Producer(number, `p${number}`, 1, new ProducerWindow(1), true))
  }
  return { home, producers }
}

test('when there are too many, the least recently used is removed', () => {
  const { home, producers } = maximumOfProducers()
  producers.use(home, 'p1', 1)
  const added = producers.use(home, 'new', 1)
  const surplus = producers.surplus(1)
  assert.deepEqual(
    surplus.map(({ id }) => id),
    ['p2'],
  )
  producers.committed([added], surplus)
  assert.equal(producers.stored, maxProducers)
  assert.equal(home.producers.has('p2'), false)
  assert.equal(home.producers.has('p1'), true)
})

test('a producer with an undecided append is not removed', () => {
  const { home, producers } = maximumOfProducers()
  home.producers.get('p1')!.undecided.set(7, { follow() {} })
  assert.deepEqual(
    producers.surplus(2).map(({ id }) => id),
    ['p2', 'p3'],
  )
})

test('a producer that stored nothing leaves no trace', () => {
  const home = stream()
  const producers = new Producers()
  const producer = producers.use(home, 'a', 1)
  producers.releaseUnused(producer)
  assert.equal(home.producers.size, 0)
  assert.equal(producers.stored, 0)
  assert.deepEqual(producers.surplus(1), [])
})

test('the same id in two streams gives two producers', () => {
  const producers = new Producers()
  assert.notEqual(producers.use(stream(), 'a', 1).number, producers.use(stream(), 'a', 1).number)
})
