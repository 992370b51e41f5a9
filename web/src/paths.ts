// The addresses of the pages. An id can have any characters, so those that an address uses are escaped with `~`.

export const pages = [
  { path: '/', name: 'Overview' },
  { path: '/try', name: 'Try it' },
  { path: '/events', name: 'Events' },
  { path: '/dead-letters', name: 'Dead letters' },
  { path: '/work', name: 'Work' },
  { path: '/keys', name: 'Keys' },
] as const

/** Whether nothing of the page can be shown without the scope read. */
export function needsRead(location: string): boolean {
  return location === '/' || /^\/(events\/|files\/|dead-letters|work)/.test(location)
}

/** The router decodes `%`, but not alike for every character. */
function escaped(text: string): string {
  return encodeURIComponent(text).replaceAll('~', '%7E').replaceAll('%', '~')
}

export function unescaped(part: string): string {
  try {
    return decodeURIComponent(part.replaceAll('~', '%'))
  } catch {
    return part
  }
}

/** Without a source for a UUID. */
export function eventPath(id: string, source?: string): string {
  return source === undefined ? `/events/${escaped(id)}` : `/events/${escaped(id)}/${escaped(source)}`
}

/** Without a type for a request of any. */
export function requestPath(id: string, type?: string): string {
  return type === undefined ? `/requests/${escaped(id)}` : `/requests/${escaped(id)}/${escaped(type)}`
}

export function filePath(id: string): string {
  return `/files/${escaped(id)}`
}

/** @param query of the list that it was chosen from. */
export function deadLetterPath(id: string, query = ''): string {
  return `/dead-letters/${escaped(id)}${query === '' ? '' : `?${query}`}`
}

/** The page of what GET /v1/find/{id} names; null while there is none. */
export function pageOf({ kind, href }: { readonly kind: string; readonly href: string }): string | null {
  const url = new URL(href, 'http://millrace')
  const id = decodeURIComponent(url.pathname.split('/').at(-1) ?? '')
  if (kind === 'event') return eventPath(id, url.searchParams.get('source') ?? undefined)
  if (kind === 'request') return requestPath(id)
  if (kind === 'file') return filePath(id)
  if (kind === 'dead_letter') return deadLetterPath(id)
  if (kind === 'key') return '/keys'
  return null
}
