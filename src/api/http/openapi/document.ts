// The OpenAPI document (3.1) of the HTTP API, made of the table of operations and that of scopes.

import { toJsonSchema } from '@valibot/to-json-schema'
import type { GenericSchema } from 'valibot'
import { needOf } from '../../scopes.ts'
import { problemContentType } from '../problem.ts'
import { type Operation, operations } from './operations.ts'
import { ref, type Schema, schemas } from './schemas.ts'

/** @returns JSON text. */
export function openApiDocument(version: string): string {
  const paths: Record<string, Record<string, object>> = {}
  for (const [route, operation] of Object.entries(operations)) {
    const [method = '', url = ''] = route.split(' ')
    const path = url.replace(/:(\w+)/g, '{$1}')
    paths[path] ??= {}
    paths[path][method.toLowerCase()] = operationObject(route, operation)
  }
  return JSON.stringify({
    openapi: '3.1.1',
    info: {
      ...{ title: 'Millrace', version, license: { name: 'MIT', identifier: 'MIT' } },
      description: 'Takes events, keeps them in a durable log and lands each one in a database exactly once.',
    },
    // Relative to where the document was read, so that it holds behind a proxy too.
    servers: [{ url: './' }],
    tags: [...new Set(Object.values(operations).map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas,
      responses: {
        Problem: {
          description: 'A problem (RFC 9457)',
          content: { [problemContentType]: { schema: ref('Problem') } },
        },
      },
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description: 'An API key, mr_…, or a ticket; the roles are its scopes.',
        },
        ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'A ticket, of GET only: for EventSource.' },
      },
    },
  })
}

function operationObject(route: string, { tag, summary, body, bodyIsRequired = false, ...rest }: Operation): object {
  const [method, url = ''] = route.split(' ')
  const names = Array.from(url.matchAll(/:(\w+)/g), ([, name]) => name!)
  const need = needOf(route)
  const roles = need === 'any' ? [] : [need]
  const security = need === 'open' ? [] : [{ key: roles }, ...(method === 'GET' ? [{ ticket: roles }] : [])]
  const parameters = [
    ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
    ...parametersIn('query', rest.query),
    ...parametersIn('header', rest.headers),
  ]
  return {
    ...{ operationId: operationIdOf(route), tags: [tag], summary, security },
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: bodyIsRequired, content: contentOf(body) } }),
    responses: {
      ...Object.fromEntries(
        Object.entries(rest.answers).map(([status, content]) => [
          status,
          { description: descriptions[Number(status)], ...(isEmpty(content) ? {} : { content: contentOf(content) }) },
        ]),
      ),
      default: { $ref: '#/components/responses/Problem' },
    },
  }
}

const descriptions: Readonly<Record<number, string>> = {
  ...{ 200: 'Done', 201: 'Made', 202: 'Accepted', 204: 'Nothing came', 206: 'A part of it' },
}

const isEmpty = (content: object) => Object.keys(content).length === 0

/** `POST /v1/groups/:topic/:group/pause` → `postGroupsTopicGroupPause`. */
function operationIdOf(route: string): string {
  const [method = '', ...words] = route.replace('/v1/', '/').match(/\w+/g) ?? []
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}

function parametersIn(place: 'query' | 'header', given: Operation['query'] = {}): object[] {
  return Object.entries(given).map(([name, { description, ...schema }]) => ({
    ...{ name, in: place, schema },
    ...(description === undefined ? {} : { description }),
  }))
}

function contentOf(content: Readonly<Record<string, Schema | GenericSchema>>): object {
  return Object.fromEntries(Object.entries(content).map(([type, given]) => [type, { schema: schemaOf(given) }]))
}

function schemaOf(given: Schema | GenericSchema): object {
  if (!('~standard' in given)) return given
  const { $schema: _, ...schema } = toJsonSchema(given as GenericSchema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    // Bytes of the body that are not parsed: any JSON, but for base64.
    overrideSchema: ({ valibotSchema }) => (valibotSchema.type === 'instance' ? {} : undefined),
    errorMode: 'ignore',
  })
  return schema
}
