// Which dead letters are meant: one filter, kept in the address, for the counts, the list and the redrive.

import { useLocation, useSearch } from 'wouter'

const textNames = ['topic', 'group', 'type', 'code'] as const
export type TextName = (typeof textNames)[number]
const timeNames = ['since', 'until'] as const
export type TimeName = (typeof timeNames)[number]

/** `no`: were not redriven yet. */
export const redrivenChoices = { no: 'open', yes: 'redriven', any: 'all' } as const

/** Text is exact, and times are RFC 3339; an empty one always holds. */
export type Filter = Readonly<Record<TextName | TimeName, string>> & { readonly redriven: keyof typeof redrivenChoices }

export const nothing: Filter = { topic: '', group: '', type: '', code: '', since: '', until: '', redriven: 'no' }

/** The filter in the address, and a function that puts another one there. */
export function useFilter(): readonly [Filter, (next: Filter) => void] {
  const search = useSearch()
  const [, goTo] = useLocation()
  return [filterIn(search), (next) => goTo(listPath(queryOf(next)))]
}

/** The list, with the filter of a query. */
export function listPath(query: string): string {
  return query === '' ? '/dead-letters' : `/dead-letters?${query}`
}

function filterIn(search: string): Filter {
  const given = new URLSearchParams(search)
  const texts = [...textNames, ...timeNames].map((name) => [name, given.get(name) ?? ''])
  const redriven = given.get('redriven')
  return { ...Object.fromEntries(texts), redriven: redriven === 'yes' || redriven === 'any' ? redriven : 'no' }
}

export function queryOf({ redriven, ...texts }: Filter): string {
  const given = new URLSearchParams(Object.entries(texts).filter(([, text]) => text !== ''))
  if (redriven !== 'no') given.set('redriven', redriven)
  return given.toString()
}

export function isNarrowed(filter: Filter): boolean {
  return queryOf({ ...filter, redriven: 'no' }) !== ''
}

/** As the list and the counts take it. */
export function conditionsOf({ redriven, ...texts }: Filter): Readonly<Record<string, string>> {
  const given = Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ''))
  return redriven === 'any' ? given : { ...given, redriven: String(redriven === 'yes') }
}

/** As a redrive takes it: without a word about redriven ones it leaves them out. */
export function redriveConditionsOf(filter: Filter): object {
  const { redriven: _, ...given } = conditionsOf(filter)
  return filter.redriven === 'yes' ? { ...given, redriven: true } : given
}
