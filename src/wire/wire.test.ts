import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import { create, type DescField, type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf'
import type { Rpc } from './rpc.ts'
import type { Shape } from './shape.ts'

type Exported = Shape<unknown> | Rpc<unknown, unknown> | Readonly<Record<string, Rpc<unknown, unknown>>>

/** Every shape that the files of this folder export, also those of their rows. */
async function exportedShapes(): Promise<Shape<unknown>[]> {
  const files = globSync('*.ts', { cwd: import.meta.dirname }).filter((name) => !name.endsWith('.test.ts'))
  const modules = await Promise.all(files.map((name) => import(`./${name}`)))
  return modules.flatMap((module) => Object.values<Exported>(module).flatMap(shapesIn))
}

function shapesIn(exported: Exported): Shape<unknown>[] {
  if (typeof exported !== 'object' || exported === null) return []
  if ('schema' in exported && 'fields' in exported) return [exported as Shape<unknown>]
  if ('path' in exported) return [exported.request as Shape<unknown>, exported.answer as Shape<unknown>]
  return Object.values(exported)
    .filter((row) => typeof row === 'object' && 'path' in row)
    .flatMap(shapesIn)
}

test('a table has a row for each field of its message, and no other', async () => {
  const shapes = await exportedShapes()
  assert.ok(shapes.length > 40, `${shapes.length} shapes`)
  for (const { schema, fields } of shapes) {
    const names = schema.fields.map(({ localName }) => localName)
    assert.deepEqual(fields.toSorted(), names.toSorted(), schema.typeName)
  }
})

/** Texts that the domain takes from a set of words. */
const words: Readonly<Record<string, string>> = {
  is: 'paused',
  by: 'person',
  durability: 'disk',
  state: 'degraded',
  onExhausted: 'hold',
}

/** Fields that another one of their message stands in for. */
const left: readonly string[] = ['GetDeadLetterResponse.damagedBytes', 'HeartbeatRequest.metadata']

/** A message in which every field is set, but for these. */
function fullMessage(schema: DescMessage): Message {
  if (schema.typeName.startsWith('google.protobuf.')) return create(schema, { seconds: 7n })
  const fields = schema.fields.filter(({ localName }) => !left.includes(`${schema.name}.${localName}`))
  return create(schema, Object.fromEntries(fields.map((field) => [field.localName, fullValue(field)])))
}

function fullValue(field: DescField): unknown {
  const { fieldKind, message } = field
  if (message?.typeName === 'google.protobuf.Struct') return { n: 1 }
  if (fieldKind === 'map') return Object.fromEntries(['high', 'normal', 'low'].map((key) => [key, scalarOf(field)]))
  const value = message ? fullMessage(message) : (field.enum?.values.at(-1)?.number ?? scalarOf(field))
  return fieldKind === 'list' ? [value] : value
}

function scalarOf({ localName, scalar }: DescField): unknown {
  switch (scalar) {
    case ScalarType.STRING:
      return words[localName] ?? 'text'
    case ScalarType.BYTES:
      return new Uint8Array([7])
    case ScalarType.BOOL:
      return true
    case ScalarType.UINT64:
      return 7n
    default:
      return 7
  }
}

test('what a message says comes back the same from the domain', async () => {
  for (const { schema, ofMessage, toMessage, toJson } of await exportedShapes()) {
    const message = fullMessage(schema)
    const value = ofMessage(message)
    assert.deepEqual(toMessage(value), message, schema.typeName)
    // JSON has no bigint, which a wrong kind would let through.
    assert.doesNotThrow(() => JSON.stringify(toJson(value)), schema.typeName)
  }
})
