import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { needOf } from '../scopes.ts'
import { ask, startTestServer } from './http-client.test-support.ts'

interface OpenApi {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationObject>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
}
interface OperationObject {
  readonly operationId: string
  readonly summary: string
  readonly security: readonly Readonly<Record<string, readonly string[]>>[]
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: object }[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<
    Record<string, { readonly description?: string; readonly content?: Content; $ref?: string }>
  >
}
type Content = Readonly<Record<string, { readonly schema: object }>>

async function documentOf(url: string): Promise<OpenApi> {
  const { status, text } = await ask(`${url}/openapi.json`)
  assert.equal(status, 200, text)
  return JSON.parse(text)
}

const operationsOf = ({ paths }: OpenApi) =>
  Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ route: `${method.toUpperCase()} ${path}`, path, operation })),
  )
const root = new URL('../../../', import.meta.url)

test('the document has every route of the server, and docs/http.md has the same', async (t) => {
  const { url, routes } = await startTestServer(t)
  const served = routes
    .filter((route) => /^(GET|POST|DELETE) /.test(route))
    .map((route) => route.replace(/:(\w+)/g, '{$1}'))
    .sort()

  const documented = operationsOf(await documentOf(url)).map(({ route }) => route)
  const page = readFileSync(new URL('docs/http.md', root), 'utf8')
  const rows = [...page.matchAll(/^\| (`(?:GET|POST|DELETE) \/.*?`) \|/gm)].map(([, cell]) => cell!)
  let last = ''
  const inPage = rows.flatMap((cell) =>
    [...cell.matchAll(/`([^`?]+)[^`]*`/g)].map(([, route]) => {
      // The second path of a row has its last word only: `…/skip`.
      last = route!.startsWith('…/') ? last.replace(/\/\w+$/, route!.slice(1)) : route!
      return last
    }),
  )

  assert.deepEqual(documented.toSorted(), served)
  assert.deepEqual(inPage.toSorted(), served)
})

test('the document is valid: its schemas, its references, its parameters, and an id and a scope for each operation', async (t) => {
  const { url } = await startTestServer(t)
  const document = await documentOf(url)
  assert.match(document.openapi, /^3\.1\./)
  const ajv = new Ajv2020({ validateFormats: false, strictTypes: false })
  ajv.addKeyword('components')
  ajv.addSchema({ $id: 'http://document/', components: document.components })
  const check = (schema: object, where: string) => {
    const absolute = JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"http://document/#/components/'))
    assert.doesNotThrow(() => ajv.compile(absolute), where)
  }
  for (const [name, schema] of Object.entries(document.components.schemas)) check(schema, name)
  const ids = new Set<string>()
  for (const { route, path, operation } of operationsOf(document)) {
    assert.ok(!ids.has(operation.operationId), `${operation.operationId} is there twice`)
    ids.add(operation.operationId)
    const { parameters = [], requestBody, responses, security } = operation
    assert.deepEqual(
      parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name),
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      route,
    )
    assert.equal(new Set(parameters.map((parameter) => `${parameter.in} ${parameter.name}`)).size, parameters.length)
    for (const { name, schema } of parameters) check(schema, `${route} ${name}`)
    for (const { schema } of Object.values(requestBody?.content ?? {})) check(schema, route)
    for (const [status, { content = {}, description, $ref }] of Object.entries(responses)) {
      if (status === 'default') assert.equal($ref, '#/components/responses/Problem')
      else assert.ok(description, `${route} ${status}`)
      for (const { schema } of Object.values(content)) check(schema, route)
    }
    assert.equal(security.length > 0, needOf(route.replace(/\{(\w+)\}/g, ':$1')) !== 'open', route)
  }
  const { paths } = document
  assert.deepEqual(paths['/v1/groups/{topic}/{group}/pause']?.post?.security, [{ key: ['operate'] }])
  assert.deepEqual(paths['/v1/events/live']?.get?.security, [{ key: ['subscribe'] }, { ticket: ['subscribe'] }])
})

test('a body has the members that its route takes', async (t) => {
  const { url } = await startTestServer(t)
  const { paths } = await documentOf(url)
  const bodyOf = (path: string) =>
    paths[path]!.post!.requestBody!.content['application/json']!.schema as {
      readonly properties: Readonly<Record<string, object>>
      readonly required?: readonly string[]
    }

  const replay = bodyOf('/v1/replay')
  assert.deepEqual(replay.properties.dry_run, { type: 'boolean', default: false })
  assert.deepEqual(replay.required ?? [], [])
  assert.ok(Object.hasOwn(bodyOf('/v1/dead-letters/redrive').properties, 'dead_letter_ids'))
  assert.deepEqual(bodyOf('/v1/keys').required, ['name', 'scopes'])
})

test('/docs shows the document with files of this server alone', async (t) => {
  const { url } = await startTestServer(t)
  const page = await ask(`${url}/docs`)

  assert.match(page.headers.get('content-security-policy') ?? '', /^default-src 'self'; /)
  const links = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, link]) => link!)
  assert.equal(links.length, 4)
  for (const link of links) {
    const file = await fetch(new URL(link, `${url}/docs`))
    assert.equal(file.status, 200, link)
    assert.ok((await file.bytes()).length > 50, link)
    assert.match(link, /^docs\//)
  }
  const { text: start } = await ask(`${url}/docs/start.js`)
  assert.match(start, /url: 'openapi\.json'/)
  assert.match(start, /validatorUrl: null/)
  for (const file of ['package.json', '..%2Fpackage.json', 'index.html', 'constructor'])
    assert.equal((await ask(`${url}/docs/${file}`)).status, 404, file)
})

test('no installed package reports to anyone', () => {
  const lock = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')) as { packages: object }
  const reporting = /scarf|analytics|segment|posthog|mixpanel|amplitude|sentry|bugsnag|matomo|datadog|newrelic/i

  const names = Object.keys(lock.packages)
  assert.ok(names.length > 100)
  assert.deepEqual(
    names.filter((name) => reporting.test(name)),
    [],
  )
})
