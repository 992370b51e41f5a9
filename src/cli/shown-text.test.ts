import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutText, visibleText } from './shown-text.ts'

test('control characters are escaped, and all other text is unchanged', () => {
  assert.equal(
    visibleText('\u001b[31mred\u001b]0;title\u0007\r\n\u009b\u202eabc'),
    '\\u001b[31mred\\u001b]0;title\\u0007\\u000d\\u000a\\u009b\\u202eabc',
  )
  assert.equal(visibleText('Straße "x" 漢字 🎉'), 'Straße "x" 漢字 🎉')
})

test('a long text is cut to its length', () => {
  assert.equal(cutText('abcdef', 6), 'abcdef')
  assert.equal(cutText('abcdefg', 6), 'abcde…')
})
