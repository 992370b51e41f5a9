/** For answers that are JSON text already. */
export const jsonContentType = 'application/json; charset=utf-8'
