// What this browser may do: with a key where the server asks for keys, everything where it does not.

import { useQuery } from '@tanstack/react-query'
import { ApiProblem, api, type Scope, type Session } from './api.ts'

export const sessionQuery = ['session']

const askAgainMs = 2000

export function useSession(): Session | undefined {
  return useSessionQuery().data
}

export function useSessionQuery() {
  return useQuery({
    queryKey: sessionQuery,
    queryFn: api.session,
    staleTime: 60_000,
    // Nothing is shown before it is known.
    refetchInterval: ({ state }) => (state.data === undefined ? askAgainMs : false),
  })
}

export function mayDo(session: Session | undefined, scope: Scope): boolean {
  if (session === undefined) return false
  return !session.needs_key || (session.key?.scopes.includes(scope) ?? false)
}

/** Whether the session has ended: its key was revoked or has expired. */
export function isLoggedOut(problem: unknown): boolean {
  return problem instanceof ApiProblem && problem.status === 401
}
