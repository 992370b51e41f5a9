// Files with a narrower key. They have no topic: they are for the keys whose types have the request that analyzes a file.

import type { Files } from '../pipeline/files.ts'
import type { Grant } from '../pipeline/keys.ts'
import { missing, refuseType } from './outside.ts'

const analysisType = 'file.analyze'

export function restrictFiles(files: Files, grant: Grant): Files {
  if (grant.allowsType(analysisType)) return files
  const none = (fileId: string) => missing(`file "${fileId.slice(0, 80)}"`)
  return {
    upload: async () => {
      throw refuseType(analysisType)
    },
    uploadState: async (fileId) => {
      throw none(fileId)
    },
    file: async (fileId) => {
      throw none(fileId)
    },
    download: (fileId) => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(none(fileId)) }) }),
  }
}
