// Dead letters: events that a group has given up. By cause, as a list, and one of them.

import { useParams } from 'wouter'
import { unescaped } from '../paths.ts'
import { LetterPage } from './letter-page.tsx'
import { LettersPage } from './letters-page.tsx'
import './dead-letters.css'

export default function DeadLettersPage() {
  const { id } = useParams<{ id?: string }>()
  return id === undefined ? <LettersPage /> : <LetterPage key={id} id={unescaped(id)} />
}
