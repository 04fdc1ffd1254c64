// Mouse, wheel, fingers and keys, turned into movements of the visitor.

import type { Vector } from "./pose";
import type { Visitor } from "./stand";

const WHEEL_RATE = 0.0012;
const ORBIT_TURN = 1.8; // radians for a drag across the window
const KEY_TURN = 1.1; // radians a second
const KEY_MOVE = 0.55; // distances to the scene a second

/** Keys that move for as long as they are held: the step along the camera's axes, or the turn right and up. */
const STEPS: Record<string, Vector> = {
  KeyW: [0, 0, 1],
  KeyS: [0, 0, -1],
  KeyA: [-1, 0, 0],
  KeyD: [1, 0, 0],
  KeyQ: [0, 1, 0],
  KeyE: [0, -1, 0],
};
const TURNS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

export interface Reactions {
  /** The visitor moved (or is about to). */
  moved(): void;
  /** A double click or double tap at a point of the window, CSS pixels. */
  pointed(x: number, y: number): void;
}

/** Listens to the element that the picture lies in, and to the keyboard. */
export class Controls {
  private readonly held = new Set<string>();
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private lastTap = { time: 0, x: 0, y: 0 };

  /** `slope` gives the tangent that one CSS pixel spans. */
  constructor(
    private readonly stage: HTMLElement,
    private readonly visitor: Visitor,
    private readonly slope: () => number,
    private readonly reactions: Reactions,
  ) {
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"] as const) stage.addEventListener(end, (event) => this.up(event));
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    window.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("keyup", (event) => this.held.delete(event.code));
    window.addEventListener("blur", () => this.held.clear());
  }

  /** Move on by what is held down; false if nothing is. */
  advance(seconds: number): boolean {
    const fast = this.held.has("ShiftLeft") || this.held.has("ShiftRight") ? 3 : 1;
    let moving = false;
    for (const code of this.held) {
      const step = STEPS[code];
      const turn = TURNS[code];
      const far = KEY_MOVE * this.visitor.home.reach * seconds * fast;
      if (step) this.visitor.move([step[0] * far, step[1] * far, step[2] * far]);
      if (turn) this.visitor.look(turn[0] * KEY_TURN * seconds, turn[1] * KEY_TURN * seconds);
      moving ||= Boolean(step ?? turn);
    }
    return moving;
  }

  private key(event: KeyboardEvent): void {
    const inSlider = event.target instanceof HTMLInputElement && event.code in TURNS;
    if (event.ctrlKey || event.metaKey || event.altKey || inSlider) return;
    if (document.querySelector("dialog[open]")) return;
    if (!(event.code in STEPS) && !(event.code in TURNS) && !event.code.startsWith("Shift")) return;
    this.held.add(event.code);
    if (event.code in TURNS) event.preventDefault();
    if (!event.code.startsWith("Shift")) this.reactions.moved();
  }

  private down(event: PointerEvent): void {
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.pointers.size > 1 || event.button !== 0) return;
    const tap = { time: event.timeStamp, x: event.clientX, y: event.clientY };
    const near = Math.hypot(tap.x - this.lastTap.x, tap.y - this.lastTap.y) < 24;
    if (near && tap.time - this.lastTap.time < 350) this.reactions.pointed(tap.x, tap.y);
    this.lastTap = tap;
  }

  private up(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
  }

  private drag(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.x;
    const dy = event.clientY - before.y;
    if (dx === 0 && dy === 0) return;
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const other = others[0];
    if (other) {
      // each of two fingers carries half of a shift, and their distance the way ahead
      const apart = (p: { x: number; y: number }): number => Math.hypot(p.x - other.x, p.y - other.y) || 1;
      this.pan(dx / 2, dy / 2);
      this.visitor.approach(apart(before) / apart({ x: event.clientX, y: event.clientY }));
    } else if (event.buttons & 6 || event.shiftKey) {
      this.pan(dx, dy);
    } else {
      const angle = ORBIT_TURN / Math.min(this.stage.clientHeight, this.stage.clientWidth);
      this.visitor.orbit(-dx * angle, dy * angle);
    }
    before.x = event.clientX;
    before.y = event.clientY;
    this.reactions.moved();
  }

  private pan(dx: number, dy: number): void {
    const scale = this.visitor.now.reach * this.slope();
    this.visitor.move([-dx * scale, -dy * scale, 0]);
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1);
    // browsers report a pinch on a trackpad as a wheel with the control key
    const rate = WHEEL_RATE * (event.ctrlKey ? 6 : 1);
    this.visitor.approach(Math.exp(Math.max(-240, Math.min(240, pixels)) * rate));
    this.reactions.moved();
  }
}
