import { useId, useState } from 'react'
import { formatBytes } from '../format.ts'
import { mayDo, useSession } from '../session.ts'
import { uploadFile } from './actions.ts'
import { activityLog, useActivities } from './activity-log.ts'
import { Panel } from './panel.tsx'

const sampleBytes = 8 * 1024 * 1024
const sampleLine = 'The quick brown fox jumps over the lazy dog.\n'

/** A file, sent as a stream. */
export function FilePanel() {
  const id = useId()
  const session = useSession()
  const [file, setFile] = useState<File | null>(null)
  const running = useActivities().find(({ kind, state }) => kind === 'file' && state === 'running')
  return (
    <Panel
      title="File upload"
      kindOfCall="stream"
      about="Of any size, never whole in memory, stored complete or not at all; a worker then reads it and counts its words."
      kind="file"
      verb="Upload"
      problem={file === null ? '' : null}
      call={{ path: 'v1/files', fileName: file?.name ?? 'report.txt' }}
      onSend={() => {
        if (file === null) return
        activityLog.begin('file', `${file.name}, ${formatBytes(file.size)}`, (run) =>
          uploadFile(run, file, { mayRead: mayDo(session, 'read') }),
        )
      }}
      more={
        running === undefined ? (
          <button type="button" className="quiet" onClick={() => setFile(sample())}>
            Take a sample of {formatBytes(sampleBytes)}
          </button>
        ) : (
          <button type="button" onClick={() => activityLog.cancel(running.key)}>
            Cancel
          </button>
        )
      }
    >
      <div className="drop">
        <label htmlFor={id} className="hidden">
          File
        </label>
        {file === null ? (
          'Choose a file, or drop it here'
        ) : (
          <>
            <b>{file.name}</b> {formatBytes(file.size)}
          </>
        )}
        <input
          id={id}
          type="file"
          onChange={({ target }) => {
            const [chosen] = target.files ?? []
            if (chosen !== undefined) setFile(chosen)
          }}
        />
      </div>
    </Panel>
  )
}

function sample(): File {
  const lines = sampleLine.repeat(Math.ceil(sampleBytes / sampleLine.length)).slice(0, sampleBytes)
  return new File([lines], 'sample.txt', { type: 'text/plain' })
}
