// What each route of the HTTP API takes and answers: one table, in the order in which the document shows it.

import type { GenericSchema } from 'valibot'
import { pauseBody, resumeBody } from '../group-routes.ts'
import { keyBody, ticketBody } from '../key-routes.ts'
import { redriveBody } from '../redrive-body.ts'
import { replayBody } from '../replay-route.ts'
import { sessionBody } from '../session-routes.ts'
import { anyJson, count, flag, listOf, object, oneOf, orNull, pageOf, ref, type Schema, text, time } from './schemas.ts'

export interface Operation {
  readonly tag: string
  readonly summary: string
  readonly query?: Readonly<Record<string, Schema>>
  readonly headers?: Readonly<Record<string, Schema>>
  /** By media type. A schema of valibot is that of the route itself. */
  readonly body?: Readonly<Record<string, Schema | GenericSchema>>
  readonly bodyIsRequired?: boolean
  /** What a 2xx answer holds, by status and media type. */
  readonly answers: Readonly<Record<number, Readonly<Record<string, Schema>>>>
}

const json = (schema: Schema | GenericSchema) => ({ 'application/json': schema })
const jsonAnswer = (schema: Schema) => ({ 'application/json': schema })
const ok = (schema: Schema) => ({ 200: jsonAnswer(schema) })
const none: Schema = { type: 'string', format: 'binary' }
const bytes = { 'application/octet-stream': none }
const eventStream = { 'text/event-stream': text }

const limit: Schema = { type: 'integer', minimum: 1, maximum: 1000, default: 100 }
const page = { limit, cursor: text }
const topic: Schema = { ...text, default: 'events' }
const filter = { topic: text, group: text, type: text, code: text, since: time, until: time, redriven: flag }
const many: Schema = { type: 'array', items: text }
const prefer = {
  prefer: { ...text, examples: ['wait=10'], description: 'How long to wait, in seconds; respond-async to wait not.' },
}
const running = { 202: jsonAnswer(object({ request_id: text, stage: oneOf('accepted', 'started') })) }
const groupAnswer = (more: Readonly<Record<string, Schema>>) => ok(object({ topic: text, group: text, ...more }))
const release = (summary: string): Operation => ({
  ...{ tag: 'Groups', summary, answers: groupAnswer({ key: text, action: text }) },
})

export const operations: Readonly<Record<string, Operation>> = {
  'POST /v1/events': {
    ...{ tag: 'Events', summary: 'Publish events', bodyIsRequired: true },
    query: { topic, overflow: { ...oneOf('reject', 'drop', 'wait'), default: 'reject' } },
    body: {
      'application/json': { oneOf: [ref('Event'), listOf(ref('Event'))] },
      'application/x-ndjson': { ...text, description: 'One event on each line; of any length.' },
      'application/cloudevents+json': { type: 'object' },
      'application/cloudevents-batch+json': listOf({ type: 'object' }),
      'application/cloudevents+protobuf': none,
      'application/cloudevents-batch+protobuf': none,
    },
    answers: { 202: jsonAnswer(ref('Verdict')) },
  },
  'GET /v1/events': {
    ...{ tag: 'Events', summary: 'List landed events, newest first' },
    query: { topic: text, type: text, source: text, since: time, until: time, ...page },
    answers: ok(ref('EventPage')),
  },
  'GET /v1/events/:id': {
    ...{ tag: 'Events', summary: 'Get an event and its journey' },
    query: { source: text },
    answers: ok(ref('Journey')),
  },
  'GET /v1/events/live': {
    ...{ tag: 'Live feed', summary: 'Follow events as they are accepted' },
    query: {
      ...{ topic, type: many, source: many, subject: many, from: text, last_event_id: text, subscriber_id: text },
      max_buffered_events: { type: 'integer', minimum: 1, maximum: 1_000_000, default: 50_000 },
      on_slow: { ...oneOf('drop_oldest', 'latest_per_key', 'disconnect'), default: 'drop_oldest' },
      live: { ...oneOf('sse', 'long-poll'), default: 'sse' },
      wait: { type: 'integer', minimum: 0, maximum: 60, default: 20, description: 'Of a long poll, in seconds.' },
    },
    headers: { 'last-event-id': text },
    answers: {
      200: { ...eventStream, ...jsonAnswer(object({ frames: listOf(anyJson), cursor: text })) },
      204: {},
    },
  },
  'GET /v1/subscribers': {
    ...{ tag: 'Live feed', summary: 'List the subscribers of this process' },
    ...{ query: page, answers: ok(pageOf('subscribers', ref('Subscriber'))) },
  },
  'GET /v1/find/:id': {
    ...{ tag: 'Events', summary: 'Find what has an id', answers: ok(listOf(ref('Found'))) },
  },
  'GET /v1/dead-letters': {
    ...{ tag: 'Dead letters', summary: 'List dead letters, newest first, or count them by cause' },
    query: { ...filter, by: oneOf('cause'), ...page },
    answers: ok({
      oneOf: [ref('DeadLetterPage'), ref('DeadLetterCauses')],
    }),
  },
  'GET /v1/dead-letters/:id': {
    ...{ tag: 'Dead letters', summary: 'Get a dead letter with its event', answers: ok(ref('DeadLetterDetail')) },
  },
  'POST /v1/dead-letters/redrive': {
    ...{ tag: 'Dead letters', summary: 'Send the events of dead letters to their groups again' },
    ...{ body: json(redriveBody), bodyIsRequired: true, answers: ok(ref('RedriveAnswer')) },
  },
  'DELETE /v1/dead-letters/:id': {
    ...{ tag: 'Dead letters', summary: 'Delete a dead letter', answers: ok(object({ deleted: count })) },
  },
  'GET /v1/groups': {
    ...{ tag: 'Groups', summary: 'List the groups', query: { topic: text } },
    answers: ok(object({ groups: listOf(ref('Group')) })),
  },
  'DELETE /v1/groups/:topic/:group': {
    ...{ tag: 'Groups', summary: 'Delete a group', answers: ok(object({ abandoned: count })) },
  },
  'POST /v1/groups/:topic/:group/pause': {
    ...{ tag: 'Groups', summary: 'Pause a group', body: json(pauseBody), answers: groupAnswer({ reason: text }) },
  },
  'POST /v1/groups/:topic/:group/resume': {
    ...{ tag: 'Groups', summary: 'Resume a group', body: json(resumeBody) },
    answers: groupAnswer({ rate: orNull(count) }),
  },
  'GET /v1/groups/:topic/:group/keys': {
    ...{ tag: 'Groups', summary: 'List the keys whose events wait for the first of them', query: { limit } },
    answers: ok(ref('HeldKeys')),
  },
  'POST /v1/groups/:topic/:group/keys/:key/retry': release('Try the first event of a key once more'),
  'POST /v1/groups/:topic/:group/keys/:key/release': release('Give the first event of a key all its attempts again'),
  'POST /v1/groups/:topic/:group/keys/:key/skip': release('Make the first event of a key a dead letter'),
  'POST /v1/replay': {
    ...{ tag: 'Groups', summary: 'Deliver settled events to a group again', body: json(replayBody) },
    answers: ok(object({ replayed: count, next_cursor: orNull(text) })),
  },
  'GET /v1/workers': {
    ...{ tag: 'Groups', summary: 'List the workers of other processes that are connected to this one' },
    answers: ok(object({ workers: listOf(ref('Worker')) })),
  },
  'POST /v1/requests/:type': {
    ...{ tag: 'Requests', summary: 'Ask the workers of a type', headers: { ...prefer, 'millrace-request-id': text } },
    ...{ body: { '*/*': none }, answers: { 200: { '*/*': none }, ...running } },
  },
  'GET /v1/requests/:id': {
    ...{ tag: 'Requests', summary: 'Get the reply to a request', query: { type: text }, headers: prefer },
    answers: { 200: { '*/*': none }, ...running },
  },
  'POST /v1/files': {
    ...{ tag: 'Files', summary: 'Store a file', bodyIsRequired: true },
    headers: { 'content-disposition': text, 'repr-digest': text, 'millrace-file-id': text, ...prefer },
    body: { '*/*': none, 'multipart/form-data': object({ file: none }) },
    answers: { 201: jsonAnswer(ref('StoredFile')) },
  },
  'GET /v1/files/:id': {
    ...{ tag: 'Files', summary: 'Get what is known of a file, with its analysis', answers: ok(ref('FileDescription')) },
  },
  'GET /v1/files/:id/content': {
    ...{ tag: 'Files', summary: 'Get the bytes of a file', headers: { range: text } },
    answers: { 200: bytes, 206: bytes },
  },
  'POST /v1/heartbeats': {
    ...{ tag: 'Agents', summary: 'Say that an agent lives', bodyIsRequired: true },
    body: json(object({ agent_id: text, time, metadata: { type: 'object' } }, ['time', 'metadata'])),
    answers: { 202: jsonAnswer(object({})) },
  },
  'GET /v1/agents': {
    ...{ tag: 'Agents', summary: 'List the agents', query: page, answers: ok(pageOf('agents', ref('Agent'))) },
  },
  'GET /v1/agents/:id': { tag: 'Agents', summary: 'Get an agent', answers: ok(ref('Agent')) },
  'GET /v1/status': { tag: 'Status', summary: 'Get the state of the server', answers: ok(ref('Status')) },
  'GET /v1/status/live': {
    ...{ tag: 'Status', summary: 'Watch the state of the server, once a second', answers: { 200: eventStream } },
  },
  'GET /v1/status/history': {
    ...{ tag: 'Status', summary: 'Get the last 15 minutes of the process', answers: ok(ref('History')) },
  },
  'GET /v1/keys': {
    ...{ tag: 'Keys', summary: 'List the API keys', query: page, answers: ok(pageOf('keys', ref('KeyDescription'))) },
  },
  'POST /v1/keys': {
    ...{ tag: 'Keys', summary: 'Make a key', body: json(keyBody), bodyIsRequired: true },
    answers: { 201: jsonAnswer(ref('CreatedKey')) },
  },
  'DELETE /v1/keys/:id': { tag: 'Keys', summary: 'Revoke a key', answers: ok(object({ key_id: text })) },
  'POST /v1/tickets': {
    ...{ tag: 'Keys', summary: 'Make a ticket for a browser', body: json(ticketBody) },
    answers: { 201: jsonAnswer(object({ ticket: text, usable_until: time })) },
  },
  'GET /v1/session': { tag: 'Keys', summary: 'Get what the session of a browser may do', answers: ok(ref('Session')) },
  'POST /v1/session': {
    ...{ tag: 'Keys', summary: 'Log a browser in', body: json(sessionBody), answers: ok(ref('Session')) },
  },
  'DELETE /v1/session': { tag: 'Keys', summary: 'Log a browser out', answers: ok(ref('Session')) },
  'GET /livez': { tag: 'Server', summary: 'Whether the process runs', answers: ok(object({ live: flag })) },
  'GET /readyz': {
    ...{ tag: 'Server', summary: 'Whether the process can do its work', query: { verbose: text } },
    answers: ok(ref('Readiness')),
  },
  'GET /healthz': {
    ...{ tag: 'Server', summary: 'The same as /readyz', query: { verbose: text }, answers: ok(ref('Readiness')) },
  },
  'GET /metrics': { tag: 'Server', summary: 'Metrics for Prometheus', answers: { 200: { 'text/plain': text } } },
  'GET /version': {
    ...{ tag: 'Server', summary: 'Get the version' },
    answers: ok(object({ version: text, commit: orNull(text), node: text })),
  },
  'GET /openapi.json': { tag: 'Server', summary: 'This document', answers: ok({ type: 'object' }) },
  'GET /docs': { tag: 'Server', summary: 'This document for people', answers: { 200: { 'text/html': text } } },
  'GET /docs/:file': { tag: 'Server', summary: 'The files of /docs', answers: { 200: { '*/*': none } } },
  'GET /assets/:file': { tag: 'Server', summary: 'The files of the console', answers: { 200: { '*/*': none } } },
  'GET /': { tag: 'Server', summary: 'The console', answers: { 200: { 'text/html': text } } },
}
