/** A failed call, as the server explains it. */
export function ProblemNote({ problem }: { readonly problem: Error | null }) {
  if (problem === null) return null
  return (
    <p className="note bad" role="alert">
      {problem.message}
    </p>
  )
}
