// GET /openapi.json, and GET /docs: the document for people, in Swagger UI.
//
// Nothing of either is loaded before its first request, and Swagger UI never runs here: its files are sent as they are, so
// the page loads nothing from elsewhere.

import { createReadStream } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { MillraceError } from '../../errors.ts'
import { jsonContentType } from './json-content-type.ts'
import { readQuery } from './query.ts'

const html = 'text/html; charset=utf-8'
const script = 'text/javascript; charset=utf-8'

/** Files of the package that are sent, with their media types. */
const files = new Map([
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['swagger-ui-bundle.js', script],
  ['favicon-32x32.png', 'image/png'],
])

/** Its style sheet has images as data, and its components have styles of their own. */
const contentSecurityPolicy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

/** Links are relative: a proxy may serve the page under a path of its own. */
const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Millrace API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
`

/** Without a validator, which would be a service elsewhere. */
const start = `SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  validatorUrl: null,
})
`

export function addDocsRoutes(app: FastifyInstance, version: string): void {
  let document: Promise<string> | null = null
  app.get('/openapi.json', async (request, reply) => {
    readQuery(request.query, [])
    document ??= import('./openapi/document.ts').then(({ openApiDocument }) => openApiDocument(version))
    return reply.header('content-type', jsonContentType).send(await document)
  })
  app.get('/docs', async (request, reply) => {
    readQuery(request.query, [])
    return reply.headers({ 'content-security-policy': contentSecurityPolicy, 'content-type': html }).send(page)
  })
  app.get<{ Params: { file: string } }>('/docs/:file', async (request, reply) => {
    readQuery(request.query, [])
    const { file } = request.params
    if (file === 'start.js') return reply.header('content-type', script).send(start)
    const type = files.get(file)
    if (type === undefined) throw new MillraceError('not_found', `/docs has no file ${file.slice(0, 80)}`)
    const url = new URL(`static/${file}`, import.meta.resolve('@fastify/swagger-ui'))
    return reply.headers({ 'content-type': type, 'cache-control': 'max-age=3600' }).send(createReadStream(url))
  })
}
