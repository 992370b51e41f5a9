import { useState } from 'react'

const shownCopiedMs = 1500

/** A command, and a button that copies it. */
export function CommandLine({ command }: { readonly command: string }) {
  const [isCopied, setCopied] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(command)
    setCopied(true)
    setTimeout(() => setCopied(false), shownCopiedMs)
  }
  return (
    <div className="command-line">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long command is scrolled by keyboard too */}
      <code tabIndex={0}>{command}</code>
      {/* Browsers have no clipboard on pages without TLS, except those of this machine. */}
      {window.isSecureContext ? (
        <button type="button" className="quiet" onClick={copy}>
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      ) : null}
    </div>
  )
}
