/** The content type of answers that are sent as JSON text. */
export const jsonContentType = 'application/json; charset=utf-8'
