/** What the list of keys is cached under; making or revoking one invalidates it. */
export const keysQuery = ['keys']
