// The clock of a scene that moves.

/** Times in seconds, ascending; playing wraps around at the end. */
export class Playback {
  playing = false;
  speed = 1;
  private clock: number;
  private readonly length: number;

  constructor(private readonly times: number[]) {
    this.clock = times[0]!;
    const span = times.at(-1)! - times[0]!;
    // the last set is shown for as long as the others are on average
    this.length = times.length > 1 ? span + span / (times.length - 1) : 1;
  }

  /** Which set is shown. */
  get index(): number {
    const later = this.times.findIndex((time) => time > this.clock + 1e-9);
    return (later < 0 ? this.times.length : later) - 1;
  }

  set index(value: number) {
    this.clock = this.times[value]!;
  }

  /** Run on; false if it stands still. */
  advance(seconds: number): boolean {
    if (!this.playing) return false;
    const start = this.times[0]!;
    this.clock = start + ((this.clock - start + seconds * this.speed) % this.length);
    return true;
  }
}
