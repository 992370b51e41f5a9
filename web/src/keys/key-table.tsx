import { lazy, Suspense, useState } from 'react'
import type { KeyDescription } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Hint } from '../components/hint.tsx'
import { Time } from '../components/values.tsx'
import { formatRate } from '../format.ts'
import { scopeTexts } from './scopes.ts'

const RevokeWindow = lazy(() => import('./revoke-window.tsx'))

interface Listed {
  readonly keys: readonly KeyDescription[]
  /** The name of the session's key; null where none is needed. */
  readonly ownName: string | null
}

export function KeyTable({ keys, ownName }: Listed) {
  const [revoking, setRevoking] = useState<KeyDescription | null>(null)
  return (
    <div className="scroll">
      <table className="keys">
        <thead>
          <tr>
            {['Name', 'Scopes', 'Topics and types', 'Rate', 'Created', 'Expires', 'Last used'].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
            <th scope="col" className="right">
              Ended
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <KeyRow key={key.key_id} of={key} onRevoke={() => setRevoking(key)} />
          ))}
        </tbody>
      </table>
      {revoking === null ? null : (
        <Suspense>
          <RevokeWindow of={revoking} ownName={ownName} onClose={() => setRevoking(null)} />
        </Suspense>
      )}
    </div>
  )
}

function KeyRow({ of: key, onRevoke }: { readonly of: KeyDescription; readonly onRevoke: () => void }) {
  return (
    <tr className={hasEnded(key) ? 'ended' : undefined}>
      <td>
        <b>{key.name}</b>
        <br />
        <code className="faint">{key.key_id}</code>
      </td>
      <td>
        <div className="scopes">
          {key.scopes.map((scope) => (
            <Hint key={scope} text={scopeTexts[scope] ?? scope}>
              <Badge tone={scope === 'admin' ? 'warn' : 'plain'}>{scope}</Badge>
            </Hint>
          ))}
        </div>
      </td>
      <td>
        <Patterns of={key.topics} what="topics" />
        <Patterns of={key.types} what="types" />
      </td>
      <td>
        {key.rate_per_second === null ? (
          <span className="faint">no limit</span>
        ) : (
          <span className="number">{formatRate(key.rate_per_second)}</span>
        )}
      </td>
      <td>
        <Time of={key.created_at} />
      </td>
      <td>{key.expires_at === null ? <span className="faint">never</span> : <Time of={key.expires_at} />}</td>
      <td>{key.last_used_at === null ? <span className="faint">never</span> : <Time of={key.last_used_at} />}</td>
      <td className="right">
        <Ending of={key} onRevoke={onRevoke} />
      </td>
    </tr>
  )
}

function Ending({ of: key, onRevoke }: { readonly of: KeyDescription; readonly onRevoke: () => void }) {
  if (key.revoked_at !== null) {
    return (
      <>
        <Badge tone="bad">revoked</Badge> <Time of={key.revoked_at} />
      </>
    )
  }
  if (hasEnded(key)) return <Badge tone="plain">expired</Badge>
  return (
    <button type="button" className="danger" aria-label={`Revoke ${key.name} ${key.key_id}`} onClick={onRevoke}>
      Revoke …
    </button>
  )
}

function hasEnded({ revoked_at: revokedAt, expires_at: expiresAt }: KeyDescription): boolean {
  return revokedAt !== null || (expiresAt !== null && Date.parse(expiresAt) <= Date.now())
}

function Patterns({ of, what }: { readonly of: readonly string[] | null; readonly what: string }) {
  if (of === null) return <div className="faint">all {what}</div>
  return (
    <div className="break">
      <span className="faint">{what}</span> <code>{of.join(', ')}</code>
    </div>
  )
}
