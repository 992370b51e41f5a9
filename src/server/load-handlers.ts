// Loads the handlers of the modules that MILLRACE_HANDLERS names: every export that is one, named or default.

import { pathToFileURL } from 'node:url'
import type { TopicConfig } from '../config/config-table.ts'
import { MillraceError } from '../errors.ts'
import { type HandlerDefinition, isHandlerDefinition } from '../workers/define-handler.ts'
import { isLandingGroup } from './assemble-landing.ts'

const field = 'MILLRACE_HANDLERS'

/**
 * @param paths absolute paths of modules, JavaScript or TypeScript.
 * Errors: `failed_precondition` that names the module (it cannot be loaded, or exports no handler).
 */
export async function loadHandlers(paths: readonly string[]): Promise<HandlerDefinition[]> {
  const handlers: HandlerDefinition[] = []
  for (const path of paths) {
    const { href: url } = pathToFileURL(path)
    const exported: object = await import(url).catch((thrown: unknown) => {
      const text = `the module ${path} cannot be loaded: ${thrown instanceof Error ? thrown.message : thrown}`
      throw new MillraceError('failed_precondition', text, { field, cause: thrown })
    })
    // A handler may be the default export and a named one.
    const own = new Map<HandlerDefinition, string>()
    for (const [name, value] of Object.entries(exported)) if (isHandlerDefinition(value)) own.set(value, name)
    if (own.size === 0) {
      const text = `the module ${path} exports no handler: export what defineHandler() returns`
      throw new MillraceError('failed_precondition', text, { field })
    }
    for (const [handler, exportName] of own) handlers.push({ ...handler, module: { url, exportName } })
  }
  return handlers
}

/** Refuses handlers that cannot run side by side, or on these topics: `failed_precondition`. */
export function checkHandlers(handlers: readonly HandlerDefinition[], topics: readonly TopicConfig[]): void {
  const seen = new Set<string>()
  for (const { topic, group, request, isolate, module } of handlers) {
    const name = request === null ? `group ${group}` : `request ${request}`
    const refuse = (text: string): never => {
      throw new MillraceError('failed_precondition', `the handler of ${name} ${text}`, { field })
    }
    const names = topics.map(({ name }) => name)
    if (request === null && !names.includes(topic))
      refuse(`reads topic "${topic}", which is not declared: add it to MILLRACE_TOPICS (${names.join(', ')})`)
    if (isLandingGroup({ topic, group })) refuse('uses the name of a group of the server: give it another one')
    if (isolate && module === null)
      refuse('is to be isolated, but a thread cannot import a function: name its module in MILLRACE_HANDLERS')
    if (request !== null && seen.has(topic)) refuse('is defined twice, or built in: give its requests another type')
    if (seen.has(`${topic}/${group}`)) refuse(`of topic ${topic} is defined twice: one handler works on a group`)
    seen.add(request === null ? `${topic}/${group}` : topic)
  }
}
