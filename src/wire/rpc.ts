// The unary calls of a service: the path of each, with the shapes of its request and its answer.

import type { DescMethod } from '@bufbuild/protobuf'
import { type Shape, shape, type Table } from './shape.ts'

export interface Rpc<Request, Answer> {
  /** As on the wire: `millrace.v1.AdminService/GetEvent`. */
  readonly path: string
  readonly request: Shape<Request>
  readonly answer: Shape<Answer>
}

export function rpc<Request extends object, Answer extends object>(
  method: DescMethod,
  request: Table<Request> | Shape<Request>,
  answer: Table<Answer> | Shape<Answer>,
): Rpc<Request, Answer> {
  return {
    path: `${method.parent.typeName}/${method.name}`,
    request: isShape(request) ? request : shape(method.input, request),
    answer: isShape(answer) ? answer : shape(method.output, answer),
  }
}

/** An answer that says only that it is done. */
export type Nothing = Record<never, never>
export const nothing: Table<Nothing> = {}

function isShape<Domain>(form: Table<Domain> | Shape<Domain>): form is Shape<Domain> {
  return 'toMessage' in form
}
