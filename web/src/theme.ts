// Light, dark, or as the system says.

export const themes = ['system', 'light', 'dark'] as const
export type Theme = (typeof themes)[number]

const storageName = 'millrace.theme'

export function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem(storageName)
    return themes.find((theme) => theme === stored) ?? 'system'
  } catch {
    return 'system'
  }
}

export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}

export function storeTheme(theme: Theme): void {
  applyTheme(theme)
  try {
    localStorage.setItem(storageName, theme)
  } catch {
    // A browser that lets pages keep nothing has it until the page is left.
  }
}
