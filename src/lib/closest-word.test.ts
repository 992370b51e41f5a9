import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { closestWord } from './closest-word.ts'

test('a word with one wrong, missing or extra letter finds the intended word', () => {
  const words = ['http-port', 'grpc-port', 'data-dir']
  for (const typed of ['htpp-port', 'http-prt', 'http-portt']) assert.equal(closestWord(typed, words), 'http-port')
})

test('a word that is not close to any candidate finds none', () => {
  assert.equal(closestWord('retention', ['http-port', 'data-dir']), null)
  assert.equal(closestWord('', ['a']), null)
})

test('a known word finds itself, whatever the other candidates', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 8 }), (words) => {
      for (const word of words) assert.equal(closestWord(word, words), word)
    }),
  )
})
