// TypeScript types of the HTTP API, made of its OpenAPI document: what the console is compiled against.

import { openApiDocument } from '../src/api/http/openapi/document.ts'

/** JSON Schema 2020-12, as far as the document uses it. */
interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly additionalProperties?: Schema | boolean
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
}

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
}

type Content = Readonly<Record<string, { readonly schema: Schema }>>

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** @returns the source: a type for each schema, and `Operations`, which has what each route takes and answers as JSON. */
export function apiTypes(): string {
  const { paths, components } = JSON.parse(openApiDocument('')) as Document
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) => `export type ${name} = ${typeOf(schema)}\n`,
  )
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => {
      const route = `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`
      return `readonly '${route}': ${operationType(operation)}`
    }),
  )
  return [
    '// Generated from the OpenAPI document of the HTTP API by `npm run generate`. Do not edit.\n',
    ...schemas,
    `export interface Operations ${block(operations)}\n`,
  ].join('\n')
}

function operationType({ parameters = [], requestBody, responses }: Operation): string {
  const query = parameters
    .filter(({ in: place }) => place === 'query')
    .map(({ name, schema }) => `readonly ${name}?: ${typeOf(schema)}`)
  const body = requestBody?.content['application/json']?.schema
  const answers = Object.entries(responses).flatMap(([status, { content }]) => {
    const schema = content?.['application/json']?.schema
    return status.startsWith('2') && schema !== undefined ? [typeOf(schema)] : []
  })
  return block([
    ...(query.length === 0 ? [] : [`readonly query: ${block(query)}`]),
    ...(body === undefined ? [] : [`readonly body: ${typeOf(body)}`]),
    ...(answers.length === 0 ? [] : [`readonly answer: ${answers.join(' | ')}`]),
  ])
}

function block(members: readonly string[]): string {
  return `{${members.map((member) => `\n  ${member.replaceAll('\n', '\n  ')}`).join('')}\n}`
}

function typeOf(schema: Schema): string {
  const { $ref, type, enum: values, anyOf, oneOf } = schema
  if ($ref !== undefined) return $ref.replace('#/components/schemas/', '')
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(' | ')
  if ('const' in schema) return JSON.stringify(schema.const)
  const choices = anyOf ?? oneOf
  if (choices !== undefined) return choices.map(typeOf).join(' | ')
  if (type === undefined) return 'unknown'
  return [type]
    .flat()
    .map((name) => basicType(name, schema))
    .join(' | ')
}

function basicType(name: string, { properties, required = [], items = {}, additionalProperties }: Schema): string {
  if (name === 'null') return 'null'
  if (name === 'string' || name === 'boolean') return name
  if (name === 'integer' || name === 'number') return 'number'
  if (name === 'array') return `readonly (${typeOf(items)})[]`
  if (name !== 'object') throw new Error(`the OpenAPI document has the type ${name}, which api-types.ts does not know`)
  if (properties === undefined) {
    const of = typeof additionalProperties === 'object' ? typeOf(additionalProperties) : 'unknown'
    return `{ readonly [name: string]: ${of} }`
  }
  const members = Object.entries(properties).map(([key, property]) => {
    const comment = property.description === undefined ? '' : `/** ${property.description} */\n`
    return `${comment}readonly ${key}${required.includes(key) ? '' : '?'}: ${typeOf(property)}`
  })
  return block(members)
}
