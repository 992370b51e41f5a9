import type { ReactNode } from 'react'
import type { Observed, ServerProcess } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Bytes, Count, Duration, Time } from '../components/values.tsx'
import { formatSeconds } from '../format.ts'

/** Every living process, and what it works on. */
export function Deployment({ observed: { status, observations } }: { readonly observed: Observed }) {
  return (
    <>
      <dl className="facts">
        <Fact name="Version">{status.version}</Fact>
        <Fact name="Up for">
          <Duration of={Math.floor(status.uptime_seconds)} />
        </Fact>
        <Fact name="Accepted means">{status.durability}</Fact>
        <Fact name="Log">
          {status.log.driver}
          {observations === null ? null : <span className="faint"> {observations.log.persistence}</span>}
        </Fact>
        <Fact name="Log size">
          <Bytes of={observations?.log.used_bytes} />
        </Fact>
        <Fact name="Store">
          {status.store.driver} {status.store.up ? null : <Badge tone="bad">away</Badge>}
        </Fact>
        <Fact name="Table of events">
          <Bytes of={observations?.store?.events_bytes} />
        </Fact>
        <Fact name="Workers">
          <Count of={status.workers} />
        </Fact>
        <Fact name="Subscribers">
          <Count of={status.subscribers} why="this process has no live feed" />
        </Fact>
      </dl>
      {status.processes === undefined ? null : <Processes of={status.processes} />}
    </>
  )
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function Processes({ of }: { readonly of: readonly ServerProcess[] }) {
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Process</th>
            <th scope="col">Roles</th>
            <th scope="col">Host</th>
            <th scope="col">Version</th>
            <th scope="col">Started</th>
            <th scope="col" className="right">
              Up for
            </th>
          </tr>
        </thead>
        <tbody>
          {of.map(({ id, roles, host, version, started_at: startedAt }) => (
            <tr key={id}>
              <td>
                <code>{id}</code>
              </td>
              <td>{roles.join(', ')}</td>
              <td>{host}</td>
              <td>{version}</td>
              <td>
                <Time of={startedAt} />
              </td>
              <td className="right number">{formatSeconds(Math.max(0, secondsSince(startedAt)))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function secondsSince(rfc3339: string): number {
  return Math.floor((Date.now() - Date.parse(rfc3339)) / 1000)
}
