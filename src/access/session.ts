// The text of a session of a browser: mrs_<key id>_<sealed key>.
//
// It is the key itself, encrypted with a key made of its hash, which every process has and no caller knows. So nothing is stored,
// every process takes it, and it ends with its key. A ticket could be made by who can read the hashes in the database; a session
// could not, for that takes the text of the key. Therefore it may do all that the key may.

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'

export interface SessionContent {
  readonly key: string
  readonly usableUntilMs: number
}

const cipher = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16
const pattern = /^mrs_([0-9A-Za-z]{12})_([\w-]{64,256})$/

export function sealSession(keyId: string, hash: Uint8Array, content: SessionContent): string {
  const nonce = randomBytes(nonceBytes)
  const sealing = createCipheriv(cipher, sealingKeyOf(hash), nonce)
  const sealed = [nonce, sealing.update(JSON.stringify(content)), sealing.final(), sealing.getAuthTag()]
  return `mrs_${keyId}_${Buffer.concat(sealed).toString('base64url')}`
}

/** The id of the key that a session names; null for a text that is no session. */
export function keyIdOfSession(text: string): string | null {
  return pattern.exec(text)?.[1] ?? null
}

/** The content of a session that was sealed with this hash; null for any other text. */
export function openSession(text: string, hash: Uint8Array): SessionContent | null {
  const sealed = Buffer.from(pattern.exec(text)?.[2] ?? '', 'base64url')
  try {
    const opening = createDecipheriv(cipher, sealingKeyOf(hash), sealed.subarray(0, nonceBytes), {
      authTagLength: tagBytes,
    })
    opening.setAuthTag(sealed.subarray(-tagBytes))
    const content = [opening.update(sealed.subarray(nonceBytes, -tagBytes)), opening.final()]
    return JSON.parse(Buffer.concat(content).toString()) as SessionContent
  } catch {
    return null
  }
}

/** Another key than that of the signatures of tickets. */
function sealingKeyOf(hash: Uint8Array): Buffer {
  return createHmac('sha256', hash).update('millrace session').digest()
}
