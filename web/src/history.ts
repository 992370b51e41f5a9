// The last 15 minutes, second by second.

import { useQuery } from '@tanstack/react-query'
import { api, type History } from './api.ts'

const askEveryMs = 2000

export function useHistory(): { readonly history: History | null; readonly problem: Error | null } {
  const { data, error } = useQuery({
    queryKey: ['history'],
    queryFn: ({ signal }) => api.history(signal),
    refetchInterval: askEveryMs,
  })
  return { history: data ?? null, problem: error }
}
