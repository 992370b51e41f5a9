/** What the list of groups is cached under; whatever changes a group invalidates it. */
export const groupsQuery = ['groups']
