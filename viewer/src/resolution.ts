// Fewer pixels while the picture moves on a machine that cannot keep up, all of them once it rests.

const STEPS = [1, 0.7, 0.5, 0.35];
const SLOW_MS = 45;
const QUICK_MS = 14;
const PATIENCE = 4;
/** More pixels than two for each CSS pixel cannot be seen. */
const DENSEST = 2;

export class Resolution {
  /** The last answer differs from the one before. */
  changed = false;
  private step = 0;
  private before: number | null = null;
  private slow = 0;
  private quick = 0;
  private last = 0;

  /**
   * Drawn pixels for each CSS pixel; `time` is that of the frame (ms) while things move, null at rest.
   *
   * `enough` of them show all that the scene holds: fewer would save little, and look thicker.
   */
  next(time: number | null, enough: number): number {
    if (time !== null && this.before !== null) this.judge(time - this.before);
    this.before = time;
    const all = Math.min(DENSEST, window.devicePixelRatio);
    const scale = time === null ? all : Math.max(all * STEPS[this.step]!, Math.min(all, enough));
    this.changed ||= scale !== this.last;
    this.last = scale;
    return scale;
  }

  private judge(interval: number): void {
    this.slow = interval > SLOW_MS ? this.slow + 1 : 0;
    this.quick = interval < QUICK_MS ? this.quick + 1 : 0;
    if (this.slow >= PATIENCE && this.step < STEPS.length - 1) this.step++;
    else if (this.quick >= 10 * PATIENCE && this.step > 0) this.step--;
    else return;
    this.slow = this.quick = 0;
  }
}
