import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Reader, UnansweredBytes } from './unanswered-bytes.ts'

/** A reader that takes `bytes` whenever there is room. */
function reader(budget: UnansweredBytes, bytes: number, taken: string[], name: string): Reader {
  const self: Reader = {
    readMore: () => {
      if (!budget.hasRoomFor(self)) return
      taken.push(name)
      budget.take(bytes)
    },
  }
  return self
}

test('readers wait when the budget is used up, and are called in turn when there is room again', () => {
  const budget = new UnansweredBytes(100)
  const taken: string[] = []
  const [first, second, third] = ['first', 'second', 'third'].map((name) => reader(budget, 60, taken, name))

  first?.readMore()
  second?.readMore()
  third?.readMore()
  first?.readMore()
  assert.deepEqual(taken, ['first', 'second'])

  budget.release(60)
  assert.deepEqual(taken, ['first', 'second', 'third'])
  budget.release(60)
  assert.deepEqual(taken, ['first', 'second', 'third', 'first'])
})

test('a forgotten reader is not called', () => {
  const budget = new UnansweredBytes(10)
  const taken: string[] = []
  const gone = reader(budget, 10, taken, 'gone')
  budget.take(10)
  gone.readMore()

  budget.forget(gone)
  budget.release(10)

  assert.deepEqual(taken, [])
})
