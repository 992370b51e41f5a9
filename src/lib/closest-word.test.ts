import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { closestWord } from './closest-word.ts'

test('a word with one letter wrong, missing or too many finds the word that was meant', () => {
  const words = ['http-port', 'grpc-port', 'data-dir']
  for (const typed of ['htpp-port', 'http-prt', 'http-portt']) assert.equal(closestWord(typed, words), 'http-port')
})

test('a word that is far from all finds none', () => {
  assert.equal(closestWord('retention', ['http-port', 'data-dir']), null)
  assert.equal(closestWord('', ['a']), null)
})

test('a known word finds itself, whatever stands beside it', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 8 }), (words) => {
      for (const word of words) assert.equal(closestWord(word, words), word)
    }),
  )
})
