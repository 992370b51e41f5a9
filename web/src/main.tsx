// Starts the console: one client of the API's answers, one live connection, one tree of components.

import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Router } from 'wouter'
import { useAddress } from './address.ts'
import { ApiProblem } from './api.ts'
import { App } from './app.tsx'
import { LiveConnection, LiveContext } from './live.ts'
import { isLoggedOut, sessionQuery } from './session.ts'
import { applyTheme, storedTheme } from './theme.ts'
import './styles/base.css'
import './styles/widgets.css'
import './styles/pages.css'

applyTheme(storedTheme())

function onError(problem: Error): void {
  // Several are refused at once, again and again: each must not cancel the question of the one before.
  if (isLoggedOut(problem)) queries.invalidateQueries({ queryKey: sessionQuery }, { cancelRefetch: false })
}

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: {
    queries: {
      // The pages refetch by themselves; a refused request stays refused.
      retry: (failures, problem) => !(problem instanceof ApiProblem && problem.status < 500) && failures < 1,
      staleTime: 1000,
    },
  },
})
const live = new LiveConnection()

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no element #root')
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <LiveContext value={live}>
        <Router hook={useAddress}>
          <App />
        </Router>
      </LiveContext>
    </QueryClientProvider>
  </StrictMode>,
)
