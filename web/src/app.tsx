// The frame of every page: name, navigation, the light of the server's state, and the login where keys are asked for.

import { lazy, Suspense } from 'react'
import { Link, Route, Switch, useLocation } from 'wouter'
import { BrokenPage } from './components/broken-page.tsx'
import { Empty } from './components/empty.tsx'
import { FindBox } from './components/find-box.tsx'
import { LogOut } from './components/log-out.tsx'
import { ProblemNote } from './components/problem-note.tsx'
import { StatusLight } from './components/status-light.tsx'
import { ThemeSwitch } from './components/theme-switch.tsx'
import { ObservedProvider } from './observed.tsx'
import { needsRead, pages } from './paths.ts'
import { mayDo, useSession, useSessionQuery } from './session.ts'

const Login = lazy(() => import('./components/login.tsx'))
const OverviewPage = lazy(() => import('./overview/overview-page.tsx'))
const TryItPage = lazy(() => import('./try-it/try-it-page.tsx'))
const EventsPage = lazy(() => import('./events/events-page.tsx'))
const EventPage = lazy(() => import('./event/event-page.tsx'))
const RequestPage = lazy(() => import('./request/request-page.tsx'))
const FilePage = lazy(() => import('./file/file-page.tsx'))
const DeadLettersPage = lazy(() => import('./dead-letters/dead-letters-page.tsx'))
const WorkPage = lazy(() => import('./work/work-page.tsx'))
const KeysPage = lazy(() => import('./keys/keys-page.tsx'))

const loading = <p className="faint loading">Loading …</p>

export function App() {
  const { data: session, error } = useSessionQuery()
  const [location] = useLocation()
  const isLoggedOut = session?.needs_key === true && session.key === null
  return (
    <ObservedProvider isWanted={mayDo(session, 'read')}>
      <button type="button" className="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the page
      </button>
      <header className="top">
        <Link className="name" href="/">
          Millrace
        </Link>
        <Navigation />
        <div className="tools">
          <FindBox />
          <StatusLight />
          <ThemeSwitch />
          {session?.needs_key === true && session.key !== null ? <LogOut name={session.key.name} /> : null}
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <BrokenPage key={location}>
          <Suspense fallback={loading}>
            {session === undefined ? error === null ? loading : <ProblemNote problem={error} /> : null}
            {session === undefined ? null : isLoggedOut ? <Login /> : <Pages />}
          </Suspense>
        </BrokenPage>
      </main>
    </ObservedProvider>
  )
}

function Navigation() {
  const [location] = useLocation()
  return (
    <nav aria-label="Pages">
      {pages.map(({ path, name }) => {
        const isHere = path === '/' ? location === '/' : location === path || location.startsWith(`${path}/`)
        return (
          <Link key={path} href={path} aria-current={isHere ? 'page' : undefined}>
            {name}
          </Link>
        )
      })}
    </nav>
  )
}

function Pages() {
  const mayRead = mayDo(useSession(), 'read')
  const [location] = useLocation()
  if (!mayRead && needsRead(location)) return <Empty>Your key has not the scope read, which this page needs.</Empty>
  return (
    <Switch>
      <Route path="/" component={OverviewPage} />
      <Route path="/try" component={TryItPage} />
      <Route path="/events" component={EventsPage} />
      <Route path="/events/:id/:source?" component={EventPage} />
      <Route path="/requests/:id/:type?" component={RequestPage} />
      <Route path="/files/:id" component={FilePage} />
      <Route path="/dead-letters/:id?" component={DeadLettersPage} />
      <Route path="/work" component={WorkPage} />
      <Route path="/keys" component={KeysPage} />
      <Route>
        <Empty>There is no such page. The navigation above has all of them.</Empty>
      </Route>
    </Switch>
  )
}
