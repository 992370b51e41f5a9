import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { samples } from '../../../test/support/depth.ts'
import { downloadHeaders, fileHeaderOf } from './file-headers.ts'

const nameIn = (disposition: string) => fileHeaderOf({ 'content-disposition': disposition }).filename

test('the name of a download is read back as it was, and its header is ASCII without a break', () => {
  const file = { fileId: '', contentType: 'a/b', size: 0, sha256: '00'.repeat(32), receivedAtMicros: 0, analysis: null }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
      const filename = text.toWellFormed()
      const disposition = downloadHeaders({ ...file, filename })['content-disposition']
      assert.match(disposition, /^[ -~]*$/)
      assert.equal(nameIn(disposition), filename)
    }),
    { numRuns: samples(300, 5_000) },
  )
})

test('the name of an upload is read in each form that clients send', () => {
  assert.equal(nameIn('attachment; filename="a \\"b\\".txt"'), 'a "b".txt')
  assert.equal(nameIn('attachment; filename=a.txt'), 'a.txt')
  assert.equal(nameIn(`attachment; filename="a.txt"; filename*=UTF-8'en'%e2%82%ac.txt`), '€.txt')
  assert.equal(nameIn(Buffer.from('attachment; filename="€.txt"').toString('latin1')), '€.txt')
  assert.equal(nameIn('inline'), '')
  assert.throws(() => nameIn(`attachment; filename*=UTF-8''%ff`), {
    code: 'invalid_event',
    field: 'content-disposition',
  })
})
