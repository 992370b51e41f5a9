import { useQuery } from '@tanstack/react-query'
import { api } from '../api.ts'

const askEveryMs = 3000

/** The workers of other processes that are connected to this server. */
export function useWorkers() {
  return useQuery({
    queryKey: ['workers'],
    queryFn: ({ signal }) => api.workers(signal),
    refetchInterval: askEveryMs,
  })
}
