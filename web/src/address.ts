// The address of the page is all in the hash, its query too, so that it works under any path and can be shared.

import { useSyncExternalStore } from 'react'
import type { BaseLocationHook } from 'wouter'

function addressInHash(): string {
  return `/${location.hash.replace(/^#?\/?/, '')}`
}

const pathInHash = () => addressInHash().split('?', 1)[0] as string
const queryInHash = () => addressInHash().split('?').slice(1).join('?')

function follow(onChange: () => void): () => void {
  addEventListener('hashchange', onChange)
  return () => removeEventListener('hashchange', onChange)
}

function goTo(to: string, { replace = false }: { readonly replace?: boolean } = {}): void {
  const oldURL = location.href
  history[replace ? 'replaceState' : 'pushState'](null, '', `#${to}`)
  dispatchEvent(new HashChangeEvent('hashchange', { oldURL, newURL: location.href }))
}

/** For the router: `#/events?type=a` has the path `/events` and the query `type=a`. */
export const useAddress: BaseLocationHook = () => [useSyncExternalStore(follow, pathInHash), goTo]
useAddress.searchHook = () => useSyncExternalStore(follow, queryInHash)
useAddress.hrefs = (href) => `#${href}`
