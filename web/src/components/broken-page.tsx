import { Component, type ReactNode } from 'react'

interface Guarded {
  readonly children: ReactNode
}

/** Says so when a page cannot be shown; without it the whole console would be gone. Give it the address as its key. */
export class BrokenPage extends Component<Guarded, { readonly problem: Error | null }> {
  override state: { readonly problem: Error | null } = { problem: null }

  static getDerivedStateFromError(problem: Error) {
    return { problem }
  }

  override render() {
    const { problem } = this.state
    if (problem === null) return this.props.children
    return (
      <div className="note bad" role="alert">
        <p>
          This page cannot be shown: {problem.message}. The server may be away, or have another version than this tab.
        </p>
        <button type="button" onClick={() => location.reload()}>
          Load the console again
        </button>
      </div>
    )
  }
}
