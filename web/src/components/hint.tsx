import { type ReactNode, useId, useRef } from 'react'

interface Explained {
  readonly text: string
  readonly children: ReactNode
}

const distance = 6
const margin = 8

/** Explains what it encloses, on hover and on keyboard focus; Escape closes it. */
export function Hint({ text, children }: Explained) {
  const id = useId()
  const explanation = useRef<HTMLSpanElement>(null)
  const show = ({ currentTarget }: { readonly currentTarget: HTMLElement }) => {
    const popover = explanation.current
    if (popover === null || popover.matches(':popover-open')) return
    popover.showPopover()
    place(popover, currentTarget.getBoundingClientRect())
  }
  const hide = () => explanation.current?.hidePopover()
  return (
    <>
      <button
        type="button"
        className="hint"
        aria-describedby={id}
        onPointerEnter={show}
        onPointerLeave={hide}
        onFocus={show}
        onBlur={hide}
      >
        {children}
      </button>
      <span ref={explanation} id={id} role="tooltip" popover="auto" className="hint-text">
        {text}
      </span>
    </>
  )
}

/** Below what it explains, inside the window. */
function place(popover: HTMLElement, { left, top, bottom }: DOMRect): void {
  const { offsetWidth: width, offsetHeight: height } = popover
  const isRoom = bottom + distance + height + margin < innerHeight
  popover.style.left = `${Math.max(margin, Math.min(left, innerWidth - width - margin))}px`
  popover.style.top = `${isRoom ? bottom + distance : top - distance - height}px`
}
