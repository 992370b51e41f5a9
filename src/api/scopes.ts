// Which scope each call needs: one table for all rpcs and all routes.
//
// A server does not start with an rpc or a route that is missing here, so none is served without a decision.

import type { Scope } from '../pipeline/keys.ts'

/** `open`: no key. `any`: a valid key, whatever its scopes. */
export type Need = Scope | 'work or read' | 'any' | 'open'

const callsByNeed: Readonly<Record<Need, readonly string[]>> = {
  open: [
    ...[
      'GET /',
      'GET /assets/:file',
      'GET /openapi.json',
      'GET /docs',
      'GET /docs/:file',
      'GET /livez',
      'GET /readyz',
      'GET /healthz',
    ],
    // The key is in the body of the login; the other two say, and forget, what the browser has, be it nothing.
    ...['POST', 'GET', 'DELETE'].map((method) => `${method} /v1/session`),
    '/millrace.v1.KeyService/CreateSession',
    // The preflight of a browser has no key: it asks whether a request with one may be sent.
    'OPTIONS /v1/*',
    ...['/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Watch', '/grpc.health.v1.Health/List'],
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
  ],
  any: ['POST /v1/tickets', '/millrace.v1.KeyService/CheckKey', '/millrace.v1.KeyService/CreateTicket'],
  publish: [
    ...['POST /v1/events', 'POST /v1/heartbeats', 'POST /v1/files'],
    ...['POST /v1/requests/:type', 'GET /v1/requests/:id'],
    ...['Publish', 'PublishStream', 'Produce'].map((rpc) => `/millrace.v1.IngestService/${rpc}`),
    ...['Request', 'GetReply'].map((rpc) => `/millrace.v1.RequestService/${rpc}`),
    ...['Upload', 'GetUpload'].map((rpc) => `/millrace.v1.FileService/${rpc}`),
    '/millrace.v1.AgentService/Heartbeat',
  ],
  subscribe: ['GET /v1/events/live', '/millrace.v1.LiveService/Subscribe'],
  work: ['/millrace.v1.WorkService/Consume'],
  'work or read': ['/millrace.v1.FileService/Download'],
  read: [
    ...[
      'GET /v1/events',
      'GET /v1/events/:id',
      'GET /v1/agents',
      'GET /v1/agents/:id',
      'GET /v1/files/:id',
      'GET /v1/files/:id/content',
    ],
    ...['GET /v1/dead-letters', 'GET /v1/dead-letters/:id', 'GET /v1/groups/:topic/:group/keys'],
    ...[
      'GET /v1/status',
      'GET /v1/status/live',
      'GET /v1/status/history',
      'GET /v1/find/:id',
      'GET /v1/subscribers',
      'GET /v1/groups',
      'GET /v1/workers',
      'GET /metrics',
      'GET /version',
    ],
    ...['GetStatus', 'WatchStatus', 'GetStatusHistory', 'ListEvents', 'GetEvent', 'ListGroups', 'ListWorkers'].map(
      (rpc) => `/millrace.v1.AdminService/${rpc}`,
    ),
    ...['ListSubscribers', 'ListDeadLetters', 'GetDeadLetter', 'ListHeldKeys'].map(
      (rpc) => `/millrace.v1.AdminService/${rpc}`,
    ),
    ...['ListAgents', 'GetAgent'].map((rpc) => `/millrace.v1.AgentService/${rpc}`),
    ...['/millrace.v1.FileService/GetFile', '/millrace.v1.LiveService/GetCursor'],
  ],
  operate: [
    ...['POST /v1/dead-letters/redrive', 'DELETE /v1/dead-letters/:id', 'POST /v1/replay'],
    'DELETE /v1/groups/:topic/:group',
    ...['pause', 'resume', 'keys/:key/retry', 'keys/:key/release', 'keys/:key/skip'].map(
      (action) => `POST /v1/groups/:topic/:group/${action}`,
    ),
    ...[
      'RedriveDeadLetters',
      'DeleteDeadLetters',
      'Replay',
      'PauseGroup',
      'ResumeGroup',
      'DeleteGroup',
      'ReleaseKey',
    ].map((rpc) => `/millrace.v1.AdminService/${rpc}`),
  ],
  admin: [
    ...['GET /v1/keys', 'POST /v1/keys', 'DELETE /v1/keys/:id'],
    ...['CreateKey', 'ListKeys', 'RevokeKey'].map((rpc) => `/millrace.v1.KeyService/${rpc}`),
  ],
}

/** By the path of an rpc, `/millrace.v1.IngestService/Publish`, or the route, `POST /v1/events`. */
export const needs: ReadonlyMap<string, Need> = new Map(
  Object.entries(callsByNeed).flatMap(([need, calls]) => calls.map((call) => [call, need as Need] as const)),
)

/** Throws for a call that is not in the table. */
export function needOf(call: string): Need {
  const need = needs.get(call.replace(/^HEAD /, 'GET '))
  if (need === undefined) throw new Error(`${call} has no scope: add it to api/scopes.ts`)
  return need
}
