// Texts that are kept in the session of the tab. A browser that has no room, or does not let pages keep anything, keeps none.

export function kept(name: string): string | null {
  try {
    return sessionStorage.getItem(name)
  } catch {
    return null
  }
}

export function keep(name: string, text: string): void {
  try {
    sessionStorage.setItem(name, text)
  } catch {
    // It is on the page all the same.
  }
}
