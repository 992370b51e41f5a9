// The handler of W5: the reply is the request's data.

import { defineHandler } from '../../src/index.ts'
import { requestType } from '../measure-requests.ts'

export const echo = defineHandler({ request: requestType, handle: ({ data }) => data })
