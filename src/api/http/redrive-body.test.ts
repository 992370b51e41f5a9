import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readRedriveBody } from './redrive-body.ts'

const read = (body: string) => readRedriveBody(Buffer.from(body))

test('an empty object selects all dead letters, at the default rate', () => {
  const { filter, ...others } = read(' {} ')
  assert.ok(Object.values(filter).every((value) => value === undefined))
  assert.deepEqual(others, { rate: 1000, isDryRun: false, edit: undefined, cursor: undefined })
})

test('every member is read', () => {
  const request = read(`{"dead_letter_ids":["a"],"topic":"t","group":"g","type":"y","code":"c\\u0061","redriven":false,
    "since":"1970-01-01T00:00:00.000001Z","until":"1970-01-01T00:00:01Z","rate":7,"dry_run":true,"cursor":"next"}`)
  assert.deepEqual(request, {
    filter: {
      ...{ deadLetterIds: ['a'], topic: 't', group: 'g', type: 'y', code: 'ca', isRedriven: false },
      ...{ sinceMicros: 1, untilMicros: 1_000_000 },
    },
    ...{ rate: 7, isDryRun: true, edit: undefined, cursor: 'next' },
  })
})

test('data is taken byte for byte from the body, so that no digit is lost', () => {
  const textOf = (body: string) => Buffer.from(read(body).edit?.data ?? []).toString()
  const data = '{"n": 12345678901234567890.10, "n":1e999}'
  assert.equal(textOf(`{"data":${data}}`), data)
  assert.equal(textOf('{"data":"a\\n"}'), '"a\\n"')
  assert.equal(textOf('{"data":"a\\n","data_content_type":"text/plain"}'), 'a\n')
  assert.equal(textOf('{"data_base64":"YQo="}'), 'a\n')
})

test('an invalid, unknown or repeated member is rejected by name', () => {
  const refused: Readonly<Record<string, readonly [field: string, message: RegExp]>> = {
    '[]': ['body', /must be a JSON object/],
    '\ufeff{}': ['body', /begins with a byte order mark/],
    '{"topic":"t"} x': ['body', /is not valid JSON/],
    '{"topic":1}': ['topic', /must be a string/],
    '{"topic":null}': ['topic', /must be a string/],
    '{"since":"today"}': ['since', /RFC 3339/],
    '{"redriven":"yes"}': ['redriven', /true or false/],
    '{"rate":"7"}': ['rate', /must be a number/],
    '{"dead_letter_ids":["a",1]}': ['dead_letter_ids', /must be an array of strings/],
    '{"dead_letter_ids":"a"}': ['dead_letter_ids', /must be an array of strings/],
    '{"tpoic":"t"}': ['tpoic', /is unknown; a redrive has dead_letter_ids, topic/],
    '{"__proto__":{}}': ['__proto__', /is unknown/],
    '{"toString":{}}': ['toString', /is unknown/],
    '{"topic":"t","topic":"t"}': ['topic', /is given twice/],
    '{"data":1,"data_base64":"YQo="}': ['data', /are both given/],
    '{"data_base64":"YQo"}': ['data_base64', /base64/],
    '{"data_base64":1}': ['data_base64', /base64/],
    '{"data_content_type":"text/plain"}': ['data_content_type', /without data/],
    '{"data":1,"data_content_type":""}': ['data_content_type', /is empty/],
  }
  for (const [body, [field, message]] of Object.entries(refused)) {
    assert.throws(() => read(body), { code: 'invalid_event', field, message }, body)
  }
})
