import { Dialog } from '@base-ui/react/dialog'
import type { ReactNode } from 'react'

interface Content {
  readonly title: string
  readonly description?: ReactNode
  readonly isOpen: boolean
  /** Absent: it cannot be closed. */
  readonly onClose?: () => void
  readonly children: ReactNode
}

/** A dialog over the page. */
export function Window({ title, description, isOpen, onClose, children }: Content) {
  return (
    <Dialog.Root
      open={isOpen}
      // A click beside it must not lose what was typed, or a key that is shown once.
      disablePointerDismissal
      onOpenChange={(open) => {
        if (!open) onClose?.()
      }}
    >
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="window">
          <Dialog.Title className="window-title">{title}</Dialog.Title>
          {description === undefined ? null : (
            <Dialog.Description className="window-description">{description}</Dialog.Description>
          )}
          {children}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}
