import { useMutation } from '@tanstack/react-query'
import { api } from '../api.ts'

/** Ends the session of the browser, and forgets what this tab has kept of it. */
export function LogOut({ name }: { readonly name: string }) {
  const logOut = useMutation({
    mutationFn: api.logOut,
    onSuccess: () => {
      sessionStorage.clear()
      location.reload()
    },
  })
  return (
    <button
      type="button"
      className="quiet"
      title={logOut.error?.message ?? `The session has the key ${name}`}
      disabled={logOut.isPending || logOut.isSuccess}
      onClick={() => logOut.mutate()}
    >
      {logOut.isError ? 'Not logged out: again' : 'Log out'}
    </button>
  )
}
